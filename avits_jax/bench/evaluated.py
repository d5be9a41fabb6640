"""Everything that evaluations know of a set of clips, as arrays over its prompts."""

import os
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from avits_jax.bench.evaluation import FEATURES, Method, read_entries, read_facts
from avits_jax.bench.protocol import Protocol, require_same

NOT_EVALUATED = "not evaluated"


@dataclass
class Evaluated:
    """Scores and features of clips, one place per prompt.

    Attributes:
        protocol: how they came about.
        method: what made the clips.
        left_out: column -> why it was not evaluated.
        scores: column -> ``[P]`` numbers, NaN for a clip without one.
        features: name -> for every row that has it, an array.
        faults: row -> why there is no clip, or none that can be read; `NOT_EVALUATED`
            for a clip that no evaluation has come to.
        failed: column or feature -> row -> why a clip that can be read has none.
    """

    protocol: Protocol
    method: Method
    left_out: dict[str, str] = field(default_factory=dict)
    scores: dict[str, Float[np.ndarray, " P"]] = field(default_factory=dict)
    features: dict[str, dict[int, np.ndarray]] = field(default_factory=dict)
    faults: dict[int, str] = field(default_factory=dict)
    failed: dict[str, dict[int, str]] = field(default_factory=dict)

    @property
    def num_judged(self) -> int:
        """Return how many clips could be read."""
        return self.protocol.num_prompts - len(self.faults)


def read_evaluated(folders: Sequence[str | os.PathLike[str]]) -> Evaluated:
    """Read one evaluation, or the parts of one that were made apart.

    Args:
        folders: of `EvaluationFolder`, of the same protocol and clips: of different
            rows, or of different columns.

    Raises:
        ValueError: a folder is none of these or damaged, they are of different
            protocols or methods, or two hold the same number of a clip.
    """
    if not folders:
        raise ValueError("folders must name at least one evaluation")
    facts = [(Path(folder), *read_facts(folder)) for folder in folders]
    require_same([(str(path), protocol) for path, protocol, *_ in facts])
    first, protocol, method, _ = facts[0]
    for path, _, other, _ in facts[1:]:
        if other != method:
            raise ValueError(f"{path} is an evaluation of {other}, {first} of {method}")
    whole = Evaluated(_united([protocol for _, protocol, *_ in facts]), method)
    seen: set[int] = set()
    owner: dict[tuple[int, str], Path] = {}
    for path, protocol, _, left_out in facts:
        whole.left_out |= left_out
        for entry in read_entries(path, protocol):
            seen.add(entry["row"])
            _check_owner(path, entry, owner)
            _take(whole, entry)
        _take_features(whole, path, protocol)
    for row in set(range(protocol.num_prompts)) - seen:
        whole.faults[row] = NOT_EVALUATED
    variants = whole.protocol.variants
    whole.left_out = {k: v for k, v in whole.left_out.items() if k not in variants}
    return whole


def _united(protocols: Sequence[Protocol]) -> Protocol:
    checkpoints: dict[str, str] = {}
    variants: dict[str, str] = {}
    for protocol in protocols:
        checkpoints |= protocol.checkpoints
        variants |= protocol.variants
    return replace(protocols[0], checkpoints=checkpoints, variants=variants)


def _check_owner(
    path: Path, entry: dict[str, Any], owner: dict[tuple[int, str], Path]
) -> None:
    row = entry["row"]
    for name in (*entry["scores"], *entry["held"]):
        before = owner.setdefault((row, name), path)
        if before != path:
            raise ValueError(f"{before} and {path} both hold {name} of row {row}")


def _take(whole: Evaluated, entry: dict[str, Any]) -> None:
    """Put what a line says in its place; what an earlier line said of it is over."""
    row, count = entry["row"], whole.protocol.num_prompts
    if entry["fault"] is not None:
        whole.faults[row] = entry["fault"]
        for column in whole.scores.values():
            column[row] = np.nan
        return
    whole.faults.pop(row, None)
    for name, score in entry["scores"].items():
        column = whole.scores.setdefault(name, np.full(count, np.nan))
        column[row] = score
        whole.failed.get(name, {}).pop(row, None)
    for name in entry["held"]:
        whole.failed.get(name, {}).pop(row, None)
    for name, reason in entry["failed"].items():
        whole.failed.setdefault(name, {})[row] = reason
        if name in whole.scores:
            whole.scores[name][row] = np.nan


def _take_features(whole: Evaluated, folder: Path, protocol: Protocol) -> None:
    """Read the features of all clips, each file once."""
    wanted: dict[str, dict[int, list[str]]] = {}
    for entry in read_entries(folder, protocol):
        if entry["features"] is not None and entry["row"] not in whole.faults:
            rows = wanted.setdefault(entry["features"], {})
            rows[entry["row"]] = entry["held"]
    for file, rows in wanted.items():
        for row, name, array in _arrays(folder / FEATURES / file, rows):
            if row not in whole.failed.get(name, {}):
                whole.features.setdefault(name, {})[row] = array


def _arrays(
    path: Path, rows: dict[int, list[str]]
) -> Iterator[tuple[int, str, np.ndarray]]:
    if not path.is_file():
        raise ValueError(f"{path}, features of clips that were evaluated, is missing")
    try:
        with np.load(path, allow_pickle=False) as stored:
            for row, names in rows.items():
                for name in names:
                    yield row, name, stored[f"{row}/{name}"]
    except (KeyError, ValueError, EOFError, OSError, zipfile.BadZipFile) as error:
        raise ValueError(f"{path}, features of clips, is damaged: {error}") from error

"""What the evaluation of clips hands over to the tables: a folder, clip by clip.

::

    FOLDER/
      evaluation.json             the protocol block, what made the clips, and which
                                  columns were left out and why
      clips.jsonl                 one line per clip, or several, see below
      features/00000000-7.npz     features of some clips, ROW/NAME -> float32 array

A line of ``clips.jsonl`` (checked as `avits_jax.runs.log` says)::

    {"row": 3, "fault": null, "scores": {"ib_tv": 0.31},
     "failed": {"cavp_score": "..."}, "features": "00000000-7.npz",
     "held": ["i3d", "audioclip"], "crc": "..."}

``row`` is the row of the prompts, ``fault`` why there is no clip or none that can be
read, ``failed`` why a clip that can be read has no number in a column (or no feature).
A clip may have several lines, one for each evaluation that added columns; what a later
line says of a column counts. A clip without a number is missing in that column: it is
listed and counted, never scored 0.

The features of clips are written before their lines, each file whole or not at all, so
that an evaluation which is killed goes on with the clips that have no line.
"""

import math
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from avits_jax.bench.columns import COLUMNS
from avits_jax.bench.protocol import (
    Protocol,
    ProtocolError,
    differences,
    protocol_from_json,
)
from avits_jax.files.atomic import replacing, write_json
from avits_jax.files.json_values import OBJECT, TEXT, check_fields, list_of, parse_json
from avits_jax.files.json_values import optional as or_null
from avits_jax.files.json_values import whole as whole_number
from avits_jax.files.locks import HeldError, lock
from avits_jax.runs import log

EVALUATION, CLIPS, FEATURES = "evaluation.json", "clips.jsonl", "features"
_FORMAT = 1
_METHOD = {
    "name": TEXT,
    "search": or_null(TEXT),
    "num_candidates": or_null(whole_number(1)),
    "guides": list_of(TEXT),
}


@dataclass(frozen=True)
class Method:
    """What made the clips.

    Attributes:
        name: of the row in tables.
        search: that chose them; None for one sample, or clips from elsewhere.
        num_candidates: per prompt; None where not known.
        guides: verifiers whose rewards chose, ``NAME[@CHECKPOINT][:MODE]``.
    """

    name: str
    search: str | None = None
    num_candidates: int | None = None
    guides: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Return the method as JSON values."""
        return {
            "name": self.name,
            "search": self.search,
            "num_candidates": self.num_candidates,
            "guides": list(self.guides),
        }


@dataclass(frozen=True)
class EvaluatedClip:
    """What an evaluation knows of one clip.

    Attributes:
        row: of the prompts, from 0.
        scores: column -> finite number.
        failed: column or feature -> why the clip has none.
        features: name -> float32 array.
        fault: why there is no clip, or none that can be read; None for one that can.
    """

    row: int
    scores: Mapping[str, float] = field(default_factory=dict)
    failed: Mapping[str, str] = field(default_factory=dict)
    features: Mapping[str, np.ndarray] = field(default_factory=dict)
    fault: str | None = None


class EvaluationFolder:
    """A folder that an evaluation fills, clip by clip; it can be taken up again.

    Args:
        path: the folder; made where it is missing.
        protocol: of this evaluation. Columns may be added to those of an evaluation
            that is there; all else must be the same.
        method: what made the clips.
        left_out: column -> why it is not evaluated.

    Raises:
        ValueError: the folder holds an evaluation of another protocol or of other
            clips, is damaged, or another process writes to it.
        OSError: it cannot be written.

    Example:
        >>> with EvaluationFolder("evaluated", protocol, Method("mini")) as folder:
        ...     for row in range(protocol.num_prompts):
        ...         if "desync" not in folder.known(row):
        ...             score = 0.4
        ...             folder.add([EvaluatedClip(row, {"desync": score})])
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        protocol: Protocol,
        method: Method,
        left_out: Mapping[str, str] | None = None,
    ) -> None:
        self.path = Path(path)
        self.protocol = protocol
        (self.path / FEATURES).mkdir(parents=True, exist_ok=True)
        try:
            self._lock = lock(self.path / CLIPS, create=True)
        except HeldError as error:
            raise ValueError(f"{path} is being written by another process") from error
        try:
            self._begin(method, dict(left_out or {}))
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> "EvaluationFolder":
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """Let other processes write to the folder."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def known(self, row: int) -> frozenset[str]:
        """Return the columns and features that a clip has, or is known not to have.

        Of a clip that was missing or could not be read nothing is known: it may have
        been made since.
        """
        return self._known.get(row, frozenset())

    def add(self, clips: Sequence[EvaluatedClip]) -> None:
        """Append some clips: their features in one file, then their lines.

        What is said of a clip's fault a second time is not written again.

        Raises:
            ValueError: a row is not one of the prompts', a column or feature is
                unknown, or a score is not finite.
            OSError: the disk is full; what is there stands.
        """
        for clip in clips:
            self._check(clip)
        clips = [c for c in clips if not c.fault or self._faults.get(c.row) != c.fault]
        held: dict[str, Any] = {
            f"{clip.row}/{name}": np.asarray(value, np.float32)
            for clip in clips
            for name, value in clip.features.items()
        }
        file = f"{clips[0].row:08d}-{self._parts}.npz" if held else None
        if file is not None:
            with replacing(self.path / FEATURES / file) as temporary:
                with temporary.open("wb") as stream:
                    np.savez(stream, **held)
            self._parts += 1
        for clip in clips:
            named = file if clip.features else None
            entry = _to_entry(clip, named)
            log.append(self.path / CLIPS, entry, sync=True)
            self._note(entry)

    def _begin(self, method: Method, left_out: dict[str, str]) -> None:
        made = self.path / EVALUATION
        log.repair(self.path / CLIPS)
        if made.exists():
            there, its_method, its_left_out = read_facts(self.path)
            self.protocol = _widened(self.path, there, self.protocol)
            if its_method != method:
                raise ValueError(
                    f"{self.path} is an evaluation of {its_method}, not of {method}"
                )
            left_out = its_left_out | left_out
        left_out = {
            k: v for k, v in left_out.items() if k not in self.protocol.variants
        }
        facts = {
            "format": _FORMAT,
            "protocol": self.protocol.to_json(),
            "method": method.to_json(),
            "left_out": left_out,
        }
        write_json(made, facts)
        self._known: dict[int, frozenset[str]] = {}
        self._faults: dict[int, str] = {}
        self._parts = len(list((self.path / FEATURES).glob("*.npz")))
        for entry in read_entries(self.path, self.protocol):
            self._note(entry)

    def _note(self, entry: Mapping[str, Any]) -> None:
        row = entry["row"]
        if entry["fault"] is not None:
            self._faults[row] = entry["fault"]
            self._known.pop(row, None)
            return
        self._faults.pop(row, None)
        names = {*entry["scores"], *entry["failed"], *entry["held"]}
        self._known[row] = self.known(row) | names

    def _check(self, clip: EvaluatedClip) -> None:
        if not 0 <= clip.row < self.protocol.num_prompts:
            raise ValueError(
                f"row must be from 0 to {self.protocol.num_prompts - 1}, got {clip.row}"
            )
        features = {n for c in COLUMNS[self.protocol.benchmark] for n in c.features}
        for name in clip.features:
            if name not in features:
                known = ", ".join(sorted(features))
                raise ValueError(f"features must be among {known}, got {name!r}")
        for name, score in clip.scores.items():
            if name not in self.protocol.variants:
                known = ", ".join(self.protocol.variants)
                raise ValueError(f"scores must be among {known}, got {name!r}")
            if not math.isfinite(score):
                raise ValueError(
                    f"{name} of row {clip.row} is {score}: say in `failed` why it has "
                    "none"
                )


def read_facts(
    folder: str | os.PathLike[str],
) -> tuple[Protocol, Method, dict[str, str]]:
    """Read the protocol, what made the clips, and the columns that were left out.

    Raises:
        ValueError: it is no folder of an evaluation, or is damaged.
    """
    path = Path(folder) / EVALUATION
    if not path.is_file():
        raise ValueError(
            f"{folder} is no folder of an evaluation: {path.name} is missing"
        )
    try:
        facts = parse_json(path.read_bytes())
        check_fields(facts, {"protocol": OBJECT, "method": OBJECT, "left_out": OBJECT})
        protocol = protocol_from_json(facts["protocol"], "protocol: ")
        check_fields(facts["method"], _METHOD, "method: ")
    except ValueError as error:
        raise ValueError(f"{path} {error}") from error
    method = {name: facts["method"][name] for name in _METHOD}
    method["guides"] = tuple(method["guides"])
    return protocol, Method(**method), facts["left_out"]


def read_entries(folder: Path, protocol: Protocol) -> Iterable[dict[str, Any]]:
    """Yield the lines of an evaluation in their order.

    Args:
        folder: of the evaluation.
        protocol: its protocol.

    Raises:
        ValueError: the file is damaged.
    """
    fields = {
        "row": whole_number(0, protocol.num_prompts - 1),
        "fault": or_null(TEXT),
        "scores": OBJECT,
        "failed": OBJECT,
        "features": or_null(TEXT),
        "held": list_of(TEXT),
    }
    for number, entry in enumerate(log.read(folder / CLIPS), start=1):
        try:
            check_fields(entry, fields)
        except ValueError as error:
            raise ValueError(f"{folder / CLIPS}, line {number} {error}") from error
        yield entry


def _to_entry(clip: EvaluatedClip, file: str | None) -> dict[str, Any]:
    return {
        "row": clip.row,
        "fault": clip.fault,
        "scores": {name: float(score) for name, score in clip.scores.items()},
        "failed": dict(clip.failed),
        "features": file,
        "held": list(clip.features),
    }


def _widened(path: Path, there: Protocol, wanted: Protocol) -> Protocol:
    """Return the protocol of both evaluations' columns."""
    found = differences(there, wanted)
    if found:
        raise ProtocolError(
            f"{path} holds an evaluation of another protocol, it differs in {found[0]}"
        )
    return replace(
        there,
        checkpoints={**there.checkpoints, **wanted.checkpoints},
        variants={**there.variants, **wanted.variants},
    )

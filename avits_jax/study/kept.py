"""The rewards that runs have kept, as one table."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from avits_jax.runs import is_run, read_records, read_run
from avits_jax.runs.records import DONE, fitting
from avits_jax.runs.results import load_results
from avits_jax.study.rescoring import usable


class Kept(NamedTuple):
    """Rewards of all prompts that have a usable candidate, run after run.

    Attributes:
        names: of the V verifiers; those that guided the first run come first.
        num_guides: how many of them did.
        rewards: ``[P, N, V]`` float32 raw rewards; NaN for a candidate that failed, or
            that a prompt with fewer does not have.
        runs: ``[P]`` which run each prompt is of, from 0.
        rows: ``[P]`` its row in that run's prompts file.
        searches: the search that made each run, as far as it is known.
        lost: of each run, the rows of prompts without a usable candidate.
        num_candidates: of the P prompts.
        num_failed: how many of them failed.
    """

    names: tuple[str, ...]
    num_guides: int
    rewards: Float[np.ndarray, "P N V"]
    runs: Int[np.ndarray, " P"]
    rows: Int[np.ndarray, " P"]
    searches: tuple[str, ...]
    lost: tuple[frozenset[int], ...]
    num_candidates: int
    num_failed: int


class _Run(NamedTuple):
    """One run as it lies in its folder; tables are ``[N, V]``, guides first.

    A prompt that failed as a whole has no candidates.
    """

    guides: tuple[str, ...]
    judges: tuple[str, ...]
    rows: list[int]
    tables: list[np.ndarray]
    search: str

    @property
    def names(self) -> tuple[str, ...]:
        return self.guides + self.judges


def read_kept(
    folders: Sequence[str | os.PathLike[str]],
    guides: Sequence[str] | None = None,
    judges: Sequence[str] | None = None,
) -> Kept:
    """Read the rewards that runs have kept.

    Args:
        folders: of ``avits run``, ``avits merge`` or ``avits generate``, one or more,
            with the same verifiers; which of them guided may differ.
        guides: names of verifiers to take as guides; by default those of the first run.
        judges: names of those to take as judges; by default all others. A verifier that
            is neither leaves no candidate out.

    Raises:
        ValueError: a folder is no run, is damaged, has other verifiers or keeps no
            rewards; a verifier is unknown, or is named twice.
    """
    found = [_read(Path(folder)) for folder in folders]
    first = found[0]
    for folder, run in zip(folders, found, strict=True):
        if sorted(run.names) != sorted(first.names):
            raise ValueError(
                f"RUN {folder} has verifiers {', '.join(run.names)}, but {folders[0]} "
                f"has {', '.join(first.names)}: they must be the same"
            )
    guides = first.guides if guides is None else tuple(guides)
    if judges is None:
        judges = [name for name in first.names if name not in guides]
    names = (*guides, *judges)
    _check_names(names, first.names)
    if not guides:
        raise ValueError(f"guides must name at least one of {', '.join(first.names)}")
    return _joined(folders, found, names, len(guides))


def _check_names(names: Sequence[str], known: Sequence[str]) -> None:
    for name in names:
        if name not in known:
            raise ValueError(
                f"unknown verifier {name!r} (the runs have: {', '.join(known)})"
            )
        if names.count(name) > 1:
            raise ValueError(f"verifier {name!r} must be named once, as guide or judge")


def _joined(
    folders: Sequence[str | os.PathLike[str]],
    found: Sequence[_Run],
    names: tuple[str, ...],
    num_guides: int,
) -> Kept:
    tables: list[np.ndarray] = []
    runs: list[int] = []
    rows: list[int] = []
    lost: list[frozenset[int]] = []
    for place, (folder, run) in enumerate(zip(folders, found, strict=True)):
        columns = [run.names.index(name) for name in names]
        picked = [table[:, columns] for table in run.tables]
        some = [bool(usable(table[None]).any()) for table in picked]
        if not any(some):
            raise ValueError(
                f"RUN {folder} keeps no rewards: no candidate of its {len(some)} "
                f"prompts has a finite one from each of {', '.join(names)}"
            )
        tables += [table for table, ok in zip(picked, some, strict=True) if ok]
        rows += [row for row, ok in zip(run.rows, some, strict=True) if ok]
        lost.append(frozenset(run.rows).difference(rows[len(runs) :]))
        runs += [place] * sum(some)
    rewards = np.full(
        (len(tables), max(map(len, tables)), len(names)), np.nan, np.float32
    )
    for prompt, table in enumerate(tables):
        rewards[prompt, : len(table)] = table
    there = usable(rewards)
    num_candidates = sum(map(len, tables))
    return Kept(
        names=names,
        num_guides=num_guides,
        rewards=np.where(there[..., None], rewards, np.nan).astype(np.float32),
        runs=np.array(runs),
        rows=np.array(rows),
        searches=tuple(run.search for run in found),
        lost=tuple(lost),
        num_candidates=num_candidates,
        num_failed=num_candidates - int(there.sum()),
    )


def _read(folder: Path) -> _Run:
    if is_run(folder):
        return _read_run(folder)
    if (folder / "results.json").is_file():
        return _read_results(folder)
    kind = "is not the folder of a run" if folder.is_dir() else "does not exist"
    raise ValueError(
        f'RUN {folder} {kind}; name one that "avits run", "avits merge" or '
        '"avits generate" wrote'
    )


def _read_run(folder: Path) -> _Run:
    made = read_run(folder)
    rows, tables = [], []
    width = len(made["verifiers"]) + len(made["judges"])
    for record in fitting(read_records(folder), made, folder):
        table = np.zeros((0, width), np.float32)
        if record.status == DONE:
            judged = record.judged.reshape(len(record.rewards), -1)
            table = np.concatenate([record.rewards, judged], axis=1)
        rows.append(record.row)
        tables.append(table)
    search = str(made["settings"].get("search") or "")
    guides, judges = tuple(made["verifiers"]), tuple(made["judges"])
    return _Run(guides, judges, rows, tables, search)


def _read_results(folder: Path) -> _Run:
    results = load_results(folder)
    verifiers = results["verifiers"]
    # Guides first, as a run of many prompts has them.
    order = sorted(range(len(verifiers)), key=lambda c: not verifiers[c]["guides"])
    candidates = sorted(results["candidates"], key=lambda c: c["index"])
    table = np.full((len(candidates), len(verifiers)), np.nan, np.float32)
    for place, candidate in enumerate(candidates):
        if not candidate["failed"]:
            table[place] = [candidate["rewards"][column] for column in order]
    names = [verifiers[column]["name"] for column in order]
    num_guides = sum(verifier["guides"] for verifier in verifiers)
    search = str(results["settings"].get("search") or "")
    return _Run(
        tuple(names[:num_guides]), tuple(names[num_guides:]), [0], [table], search
    )

"""Tables of which candidates are right: read and checked."""

import csv
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from avits_jax.study.kept import Kept
from avits_jax.study.rescoring import usable
from avits_jax.study.rightness import Truth

COLUMNS = ("prompt", "candidate", "right")


def read_truth(files: Sequence[str | os.PathLike[str]], kept: Kept) -> Truth:
    """Read which candidates are right.

    A .csv file has the columns ``prompt`` (its row in the prompts file, from 0, as in
    records.jsonl), ``candidate`` (from 0) and ``right`` (0 or 1); others are ignored.
    Prompts that it does not name have no truth; of others it must have every candidate
    that did not fail.

    Args:
        files: one for each run, in their order.
        kept: what the runs have kept.

    Returns:
        ``[P, N]`` 1, 0, or NaN where nobody knows.

    Raises:
        ValueError: not a file for each run; a file is missing or malformed, names what
            is not there or names it twice, or leaves a candidate out.
    """
    count = len(kept.searches)
    if len(files) != count:
        raise ValueError(
            f"truth must be one file for each of the {count} runs, got {len(files)}"
        )
    truth = np.full(kept.rewards.shape[:2], np.nan)
    for run, file in enumerate(files):
        _read_into(truth, Path(file), kept, run)
    if np.isnan(truth).all():
        raise ValueError(
            f"truth names no prompt of the runs: {', '.join(map(str, files))}"
        )
    return truth


def _read_into(truth: Truth, path: Path, kept: Kept, run: int) -> None:
    (places,) = np.nonzero(kept.runs == run)
    place_of = dict(zip(kept.rows[places].tolist(), places.tolist(), strict=True))
    seen = set()
    for number, (row, candidate, right) in _entries(path):
        where = f"truth {path}, line {number}"
        if (row, candidate) in seen:
            raise ValueError(f"{where}: prompt {row}, candidate {candidate} again")
        seen.add((row, candidate))
        if row in kept.lost[run]:
            continue
        if row not in place_of:
            raise ValueError(f"{where}: the run has no prompt {row}")
        if candidate >= truth.shape[1]:
            raise ValueError(
                f"{where}: candidate is {candidate}, must be 0 to {truth.shape[1] - 1}"
            )
        truth[place_of[row], candidate] = right
    lacking = np.isnan(truth) & usable(kept.rewards)
    for place in places:
        if lacking[place].any() and not np.isnan(truth[place]).all():
            raise ValueError(
                f"truth {path} says nothing of prompt {kept.rows[place]}, candidate "
                f"{int(lacking[place].argmax())}, though of others of that prompt"
            )


def _entries(path: Path) -> Iterator[tuple[int, tuple[int, int, int]]]:
    """Yield line numbers with prompt, candidate and verdict."""
    if not path.is_file():
        raise ValueError(f"truth {path} does not exist, or is no file")
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = csv.DictReader(file, strict=True)
            names = rows.fieldnames or []
            for name in COLUMNS:
                if names.count(name) != 1:
                    raise ValueError(
                        f"truth {path} must have one column {name!r} "
                        f"(needed: {', '.join(COLUMNS)}); it has: {', '.join(names)}"
                    )
            for row in rows:
                where = f"truth {path}, line {rows.line_num}"
                prompt, candidate = (_whole(where, row, name) for name in COLUMNS[:2])
                yield rows.line_num, (prompt, candidate, _verdict(where, row))
    except UnicodeDecodeError as error:
        raise ValueError(f"truth {path} is not UTF-8: {error.reason}") from error
    except csv.Error as error:
        raise ValueError(f"truth {path}: malformed CSV: {error}") from error


def _whole(where: str, row: dict[str, str | None], name: str) -> int:
    text = (row[name] or "").strip()
    if not (text.isascii() and text.isdigit() and len(text) < 10):
        raise ValueError(f"{where}: {name} must be a whole number from 0, got {text!r}")
    return int(text)


def _verdict(where: str, row: dict[str, str | None]) -> int:
    text = (row["right"] or "").strip()
    if text not in ("0", "1"):
        raise ValueError(f"{where}: right must be 0 or 1, got {text!r}")
    return int(text)

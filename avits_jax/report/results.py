"""results.json of a run folder: reading, checking, ranking."""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

FORMAT = 1

_NUMBER = (int, float)
_FIELDS: dict[str, type | tuple[type, ...]] = {
    "prompt": str,
    "model": str,
    "created": str,
    "seed": int,
    "aggregator": dict,
    "verifiers": list,
    "candidates": list,
    "best_index": int,
    "clip": dict,
    "cost": dict,
    "settings": dict,
    "versions": dict,
    "device": str,
}
_PARTS: dict[str, dict[str, type | tuple[type, ...]]] = {
    "verifiers": {"name": str, "weight": _NUMBER, "guides": bool},
    "candidates": {"index": int, "rewards": list, "calibrated": list, "failed": bool},
    "clip": {
        "frames": int,
        "height": int,
        "width": int,
        "fps": _NUMBER,
        "samples": int,
        "sample_rate": int,
    },
    "cost": {
        "nfe": int,
        "decodes": int,
        "verifier_calls": int,
        "compile_seconds": _NUMBER,
        "run_seconds": _NUMBER,
    },
}


@dataclass(frozen=True, slots=True)
class RankedRow:
    """One candidate in the order of a ranked table.

    Attributes:
        rank: 1 for the best; None where the candidate failed.
        index: the candidate's number in its population.
        rewards: raw reward of each verifier; None where it was not finite.
        calibrated: the same on the aggregator's common scale, before weights.
        score: the weighted sum of ``calibrated``; None where the candidate failed.
        failed: whether any reward was not finite.
        reason: why it failed, in words, or None.
        best: whether this candidate was chosen.
    """

    rank: int | None
    index: int
    rewards: tuple[float | None, ...]
    calibrated: tuple[float | None, ...]
    score: float | None
    failed: bool
    reason: str | None
    best: bool


def load_results(folder: str | os.PathLike[str]) -> dict[str, Any]:
    """Read and check the results of a run.

    Args:
        folder: the run folder, or its results.json itself.

    Raises:
        ValueError: the file is missing, is not JSON, or is not of this format.
    """
    path = Path(folder)
    path = path / "results.json" if path.is_dir() else path
    if not path.is_file():
        raise ValueError(f"{path} does not exist: not the folder of a finished run")
    try:
        results = json.loads(path.read_text("utf-8"))
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise ValueError(f"{path} is not JSON: {error}") from error
    problem = _problem(results)
    if problem:
        raise ValueError(f"{path} {problem}")
    return results


def ranked_rows(results: Mapping[str, Any]) -> list[RankedRow]:
    """Sort candidates by rank; the failed ones come last, by index."""
    rows = [
        RankedRow(
            rank=candidate.get("rank"),
            index=candidate["index"],
            rewards=tuple(candidate["rewards"]),
            calibrated=tuple(candidate["calibrated"]),
            score=candidate.get("score"),
            failed=candidate["failed"],
            reason=candidate.get("reason"),
            best=candidate["index"] == results["best_index"],
        )
        for candidate in results["candidates"]
    ]
    return sorted(rows, key=lambda row: (row.rank is None, row.rank or 0, row.index))


def _problem(results: Any) -> str | None:
    """Say what is wrong with the content of results.json, or None."""
    if not isinstance(results, dict) or "format" not in results:
        return "holds no results of a run"
    if results["format"] != FORMAT:
        return f"has format {results['format']!r}; this version reads format {FORMAT}"
    if problem := _missing(results, _FIELDS, ""):
        return problem
    for name, fields in _PARTS.items():
        parts = results[name] if isinstance(results[name], list) else [results[name]]
        for part in parts:
            if problem := _missing(part, fields, f"{name}: "):
                return problem
    return _lengths_problem(results)


def _missing(
    part: Any, fields: Mapping[str, type | tuple[type, ...]], where: str
) -> str | None:
    if not isinstance(part, dict):
        return f"has a wrong value: {where}expected an object"
    for name, kind in fields.items():
        if name not in part:
            return f"lacks a value: {where}{name!r} is missing"
        if not isinstance(part[name], kind):
            found = type(part[name]).__name__
            return f"has a wrong value: {where}{name!r} is of type {found}"
    return None


def _lengths_problem(results: Mapping[str, Any]) -> str | None:
    count = len(results["verifiers"])
    if not count or not results["candidates"]:
        return "has no verifiers or no candidates"
    columns = [
        c[key] for c in results["candidates"] for key in ("rewards", "calibrated")
    ]
    columns += results.get("sigma_history") or []
    if any(len(column) != count for column in columns):
        return f"has rows that do not match its {count} verifiers"
    for value in (value for column in columns for value in column):
        if value is not None and not isinstance(value, _NUMBER):
            return f"has a reward that is no number: {value!r}"
    return None

"""results.json of one prompt: reading, checking, ranking."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from avits_jax.files.json_values import (
    NUMBER,
    OBJECT,
    SWITCH,
    TEXT,
    Kind,
    check_fields,
    list_of,
    optional,
    parse_json,
    whole,
)

FORMAT = 1

# Searches whose candidates are samples that have nothing to do with each other.
_INDEPENDENT = ("best_of_n", "adaptive_best_of_n")
_MAX_CANDIDATES = 2**31
_LIST = Kind("a list", lambda value: isinstance(value, list))
_SIGMA = optional(
    Kind("a number of at least 0", lambda v: NUMBER.accepts(v) and v >= 0)
)
_POSITIVE = Kind("a number above 0", lambda v: NUMBER.accepts(v) and v > 0)
_FIELDS = {
    "prompt": TEXT,
    "model": TEXT,
    "created": TEXT,
    "seed": whole(),
    "aggregator": OBJECT,
    "verifiers": list_of(OBJECT),
    "candidates": _LIST,
    "best_index": whole(-1, _MAX_CANDIDATES),
    "clip": OBJECT,
    "cost": OBJECT,
    "settings": OBJECT,
    "versions": OBJECT,
    "device": TEXT,
}
_PARTS: dict[str, dict[str, Kind]] = {
    "aggregator": {"name": TEXT},
    "verifiers": {
        "name": TEXT,
        "weight": NUMBER,
        "guides": SWITCH,
        "sigma_before": _SIGMA,
        "sigma_after": _SIGMA,
    },
    "candidates": {
        "index": whole(0, _MAX_CANDIDATES),
        "rewards": _LIST,
        "calibrated": _LIST,
        "failed": SWITCH,
        "rank": optional(whole(1)),
        "score": optional(NUMBER),
        "reason": optional(TEXT),
    },
    "clip": {
        "frames": whole(1),
        "height": whole(1),
        "width": whole(1),
        "fps": _POSITIVE,
        "samples": whole(),
        "sample_rate": whole(),
    },
    "cost": {
        "nfe": whole(),
        "decodes": whole(),
        "verifier_calls": whole(),
        "compile_seconds": NUMBER,
        "run_seconds": NUMBER,
    },
}
_MORE = {
    "random_weights": list_of(TEXT),
    "notices": list_of(TEXT),
    "sigma_history": optional(list_of(list_of(_SIGMA))),
    "refined": list_of(OBJECT),
}
_REFINED = {
    "index": whole(0, _MAX_CANDIDATES),
    "rewards_before": _LIST,
    "rewards": _LIST,
    "score_before": optional(NUMBER),
    "score": optional(NUMBER),
    "failed": SWITCH,
    "reason": optional(TEXT),
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
        results = parse_json(path.read_bytes())
    except ValueError as error:
        raise ValueError(f"{path} is not JSON: {error}") from error
    try:
        _check(results)
    except ValueError as error:
        raise ValueError(f"{path} {error}") from error
    return results


def candidate_clip(folder: Path, index: int) -> Path:
    """Return where the clip of a candidate lies, if it was kept."""
    return folder / "candidates" / f"candidate_{index:03d}.mp4"


def first_is_one_sample(settings: Mapping[str, Any]) -> bool:
    """Tell whether candidate 0 is what one would have got without a search.

    Args:
        settings: of the run.
    """
    return settings.get("search", _INDEPENDENT[0]) in _INDEPENDENT


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


def _check(results: Any) -> None:
    """Raise ValueError, saying what is wrong with the content of results.json."""
    if not isinstance(results, dict) or "format" not in results:
        raise ValueError("holds no results of a run")
    if results["format"] != FORMAT:
        raise ValueError(
            f"has format {results['format']!r}; this version reads format {FORMAT}"
        )
    more = {name: kind for name, kind in _MORE.items() if name in results}
    check_fields(results, _FIELDS | more)
    for name, fields in _PARTS.items():
        parts = results[name] if isinstance(results[name], list) else [results[name]]
        for part in parts:
            check_fields(part, fields, f"{name}: ")
    for row in results.get("refined", []):
        check_fields(row, _REFINED, "refined: ")
    _check_columns(results)


def _check_columns(results: Mapping[str, Any]) -> None:
    count = len(results["verifiers"])
    if not count or not results["candidates"]:
        raise ValueError("has no verifiers or no candidates")
    columns = [
        c[key] for c in results["candidates"] for key in ("rewards", "calibrated")
    ]
    columns += results.get("sigma_history") or []
    refined = results.get("refined", [])
    columns += [row[key] for row in refined for key in ("rewards_before", "rewards")]
    if any(len(column) != count for column in columns):
        raise ValueError(f"has rows that do not match its {count} verifiers")
    for value in (value for column in columns for value in column):
        if value is not None and not NUMBER.accepts(value):
            raise ValueError(f"has a reward that is no number: {value!r:.40}")

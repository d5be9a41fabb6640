"""A study as JSON values; what is not known is null."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from avits_jax.study.analysis import Outcome
from avits_jax.study.growth import Point
from avits_jax.study.intervals import Interval, triple
from avits_jax.study.selections import Selection
from avits_jax.study.whole import Study

FORMAT = 1


def to_json(
    study: Study, runs: Sequence[str] = (), truth: Sequence[str] = ()
) -> dict[str, Any]:
    """Return all numbers of a study as JSON values.

    Args:
        study: the study.
        runs: names of the run folders.
        truth: names of the files that said what is right.
    """
    kept, base, names = study.kept, study.baseline, study.kept.names
    return {
        "format": FORMAT,
        "runs": list(runs),
        "truth": list(truth),
        "verifiers": [
            {"name": name, "guides": place < kept.num_guides}
            for place, name in enumerate(names)
        ],
        "searches": list(kept.searches),
        "num_prompts": len(kept.rewards),
        "num_prompts_lost": sum(map(len, kept.lost)),
        "num_prompts_of_known_truth": study.num_known,
        "num_candidates": kept.num_candidates,
        "num_candidates_failed": kept.num_failed,
        "one_sample": {
            "rewards": _by_name(names, base.mean),
            "right": _interval(base.mean_right),
        },
        "best_possible": {
            "rewards": _by_name(names, base.best),
            "right": _interval(base.any_right),
        },
        "selections": [_outcome(names, outcome) for outcome in study.outcomes],
        "spearman": [_numbers(row) for row in study.spearman],
        "same_winner": [_numbers(row) for row in study.same_winner],
        "agreement": [_numbers(row) for row in study.agreement],
        "agreement_by_chance": _number(study.chance),
        "growth": [
            {
                "selection": selection.name,
                "points": [_point(names, point) for point in points],
            }
            for selection, points in study.curves
        ],
    }


def _outcome(names: Sequence[str], outcome: Outcome) -> dict[str, Any]:
    return _selection(names, outcome.selection) | {
        "rewards": _by_name(names, outcome.rewards),
        "gains": _intervals(names, outcome.gains),
        "attained": _by_name(names, outcome.attained),
        "none_worse": _interval(outcome.none_worse),
        "judge_worse": _interval(outcome.judge_worse),
        "right": _interval(outcome.right),
        "right_gain": _interval(outcome.right_gain),
    }


def _selection(names: Sequence[str], selection: Selection) -> dict[str, Any]:
    return {
        "selection": selection.name,
        "aggregator": selection.aggregator,
        "weights": dict(zip(names, selection.weights, strict=True)),
    }


def _point(names: Sequence[str], point: Point) -> dict[str, Any]:
    return {
        "num_candidates": point.num_candidates,
        "num_prompts": point.num_prompts,
        "rewards": _by_name(names, point.rewards),
        "gains": _intervals(names, point.gains),
        "right": _interval(point.right),
    }


def _intervals(names: Sequence[str], rows: np.ndarray) -> dict[str, Any]:
    return {name: _interval(triple(row)) for name, row in zip(names, rows, strict=True)}


def _by_name(names: Sequence[str], row: np.ndarray) -> dict[str, float | None]:
    return dict(zip(names, _numbers(row), strict=True))


def _interval(interval: Interval | None) -> dict[str, float | None] | None:
    if interval is None:
        return None
    return dict(zip(("mean", "low", "high"), map(_number, interval), strict=True))


def _numbers(row: np.ndarray) -> list[float | None]:
    return [_number(value) for value in row.tolist()]


def _number(value: float) -> float | None:
    return value if math.isfinite(value) else None

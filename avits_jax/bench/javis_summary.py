"""JavisBench's summary of scores and features, as its own program writes it.

Upstream: JavisVerse/JavisDiT at b505b37, JavisEvaluator.calc_category_distribution of
eval/javisbench/main.py and calc_fvd_kvd_fad of eval/javisbench/src/metrics.py.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from avits_jax.bench.categories import ASPECTS, Members
from avits_jax.bench.columns import BENCH
from avits_jax.bench.distances import set_distance

DISTANCES = {"fvd": "i3d", "kvd": "i3d", "fad": "audioclip"}
"""Keys of the three distances, and the features of each."""

Sets = Mapping[str, Float[np.ndarray, "_ _"]]


def score_summary(
    scores: Float[np.ndarray, " P"], groups: Members | None
) -> float | dict[str, Any]:
    """Return what the program writes of one score.

    Means are in the precision of the scores; one NaN makes a mean NaN.

    Args:
        scores: one per row of the CSV.
        groups: rows of each category for the program's ``--verbose``; None for the mean
            alone.

    Returns:
        The mean; or the mean as ``overall``, the scores as ``all``, and for every
        aspect, ``"0"``, ``"1"``, ..., a list of its categories' means, NaN for a
        category without rows.
    """
    if groups is None:
        return mean(scores)
    lists = {
        str(aspect): [mean(scores[rows]) for rows in categories]
        for aspect, categories in enumerate(groups)
    }
    return {"overall": mean(scores), "all": scores.tolist(), **lists}


def distance_summaries(
    real: Sets, generated: Sets, groups: Members | None
) -> dict[str, float | dict[str, Any]]:
    """Return what the program writes of FVD, KVD and FAD.

    Rows are those of the CSV in both sets; of a set with more rows the first are used.

    Args:
        real: "i3d" and "audioclip" features of real clips.
        generated: likewise of the clips that are judged.
        groups: as in `score_summary`; there is no ``all``.

    Raises:
        ValueError: a set or a category has fewer than two rows; the program fails at
            such a category.
    """
    count = min(len(features["i3d"]) for features in (real, generated))
    overall = np.arange(count)
    if groups is None:
        return {key: _distance(key, real, generated, overall) for key in DISTANCES}
    _check_filled(groups)
    return {
        key: {
            "overall": _distance(key, real, generated, overall),
            **{
                str(aspect): [_distance(key, real, generated, rows) for rows in each]
                for aspect, each in enumerate(groups)
            },
        }
        for key in DISTANCES
    }


def mean(scores: Float[np.ndarray, " P"]) -> float:
    """Return the mean in the precision of the scores, NaN where there are none."""
    if not len(scores):
        return float("nan")
    return float(scores.mean(dtype=np.float64).astype(scores.dtype))


def _distance(
    key: str, real: Sets, generated: Sets, rows: Int[np.ndarray, " _"]
) -> float:
    name = DISTANCES[key]
    return set_distance(key, BENCH, real[name][rows], generated[name][rows])


def _check_filled(groups: Members) -> None:
    for (aspect, titles), categories in zip(ASPECTS.items(), groups, strict=True):
        for title, rows in zip(titles, categories, strict=True):
            if len(rows) < 2:
                raise ValueError(
                    f"FVD, KVD and FAD by category need at least 2 clips in each, "
                    f"category {title!r} of the {aspect} has {len(rows)}"
                )

"""Line charts over prompts or candidates, in percent of their width and height."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from avits_jax.report.charts import svg_path

Limits = tuple[float, float]
NO_LIMITS = (-math.inf, math.inf)
_MAX_POINTS = 120
_MARGIN = 0.06  # of the axis, above and below the lines


@dataclass(frozen=True, slots=True)
class RunChart:
    """SVG paths in a 100 x 100 box, and the values at its bottom and top.

    Attributes:
        paths: one per line, in order.
        low: value at the bottom.
        high: value at the top.
        first: row of the first prompt.
        last: row of the last.
        per_point: prompts that one point is the mean of, at most.
    """

    paths: tuple[str, ...]
    low: float
    high: float
    first: int
    last: int
    per_point: int


def over_prompts(
    rows: Int[np.ndarray, " P"],
    lines: Float[np.ndarray, "P L"],
    limits: Limits = NO_LIMITS,
    *,
    zero: bool = False,
) -> RunChart | None:
    """Lay out lines over the rows of a prompts file; long runs are averaged in groups.

    Args:
        rows: increasing.
        lines: one column per line; NaN breaks it.
        limits: lowest and highest value there can be; the axis ends there.
        zero: let the axis begin at zero.

    Returns:
        The chart; None with fewer than two prompts, or nothing finite to draw.
    """
    if len(rows) < 2 or not np.isfinite(lines).any():
        return None
    groups = np.array_split(np.arange(len(rows)), min(len(rows), _MAX_POINTS))
    places = np.array([rows[group].mean() for group in groups])
    values = np.array([_means(lines[group]) for group in groups])
    low, high = _bounds(values, limits, zero)
    per_point = math.ceil(len(rows) / len(groups))
    first, last = int(rows[0]), int(rows[-1])
    return RunChart(
        _paths(places, values, low, high), low, high, first, last, per_point
    )


@dataclass(frozen=True, slots=True)
class CountChart:
    """SVG paths in a 100 x 100 box over numbers of candidates, equally spaced.

    Attributes:
        paths: one per line, in order.
        low: value at the bottom.
        high: value at the top.
        counts: from left to right.
    """

    paths: tuple[str, ...]
    low: float
    high: float
    counts: tuple[int, ...]


def over_counts(
    counts: Sequence[int],
    lines: Float[np.ndarray, "C L"],
    limits: Limits = NO_LIMITS,
) -> CountChart | None:
    """Lay out lines over numbers of candidates, each about twice the one before.

    Args:
        counts: increasing.
        lines: one column per line; NaN breaks it.
        limits: lowest and highest value there can be; the axis ends there.

    Returns:
        The chart; None with fewer than two counts, or nothing finite to draw.
    """
    if len(counts) < 2 or not np.isfinite(lines).any():
        return None
    low, high = _bounds(lines, limits)
    paths = _paths(np.arange(len(counts)), lines, low, high)
    return CountChart(paths, low, high, tuple(counts))


def _bounds(
    values: np.ndarray, limits: Limits, zero: bool = False
) -> tuple[float, float]:
    """Return the values at the bottom and the top of an axis."""
    low, high = (float(bound(values)) for bound in (np.nanmin, np.nanmax))
    low = 0.0 if zero else low
    margin = _MARGIN * (high - low) or max(abs(high), 1.0) * _MARGIN
    bottom, top = 0.0 if zero else low - margin, high + margin
    # Rewards outside of what their verifier can give are another's making.
    if limits[0] <= low <= high <= limits[1]:
        bottom, top = max(bottom, limits[0]), min(top, limits[1])
    return bottom, top


def _paths(
    places: np.ndarray, values: np.ndarray, low: float, high: float
) -> tuple[str, ...]:
    xs = 100 * (places - places[0]) / (places[-1] - places[0])
    ys = 100 * (1 - (values - low) / (high - low))
    return tuple(svg_path(xs, column) for column in ys.T)


def _means(group: np.ndarray) -> np.ndarray:
    finite = np.isfinite(group)
    total = np.where(finite, group, 0).sum(axis=0)
    count = finite.sum(axis=0)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)

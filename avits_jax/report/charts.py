"""Geometry of the page's charts, in percent of their width or height."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from avits_jax.runs.results import RankedRow

_MARGIN = 0.01  # of the axis, so that marks at its ends are whole
_LEAST_TOP = 1e-300  # below, a chart shows zero


@dataclass(frozen=True, slots=True)
class Segment:
    """One verifier's part of a stacked bar."""

    verifier: int
    value: float
    left: float
    width: float


@dataclass(frozen=True, slots=True)
class StackedBar:
    """One candidate's bar: parts above the average to the right of zero."""

    row: RankedRow
    segments: tuple[Segment, ...]
    total: float
    total_at: float


@dataclass(frozen=True, slots=True)
class StackedBars:
    """Bars of all candidates on one axis; ``zero`` is where the average lies."""

    bars: tuple[StackedBar, ...]
    zero: float


@dataclass(frozen=True, slots=True)
class LineChart:
    """One SVG path per verifier in a 100 x 100 box, and the value at its top."""

    paths: tuple[str, ...]
    top: float
    last: tuple[float | None, ...]
    count: int


def contributions(rows: Sequence[RankedRow], weights: Sequence[float]) -> StackedBars:
    """Lay out each guide's weighted calibrated reward, less the average candidate's.

    Taking the average away leaves what tells candidates apart: a score is a weighted
    sum, so the parts of a bar add up to the candidate's score less the average score.

    Args:
        rows: ranked candidates; failed ones are left out.
        weights: ``[V]`` weight of each verifier that guides; they are the first.
    """
    count = len(weights)
    rows = [r for r in rows if not r.failed and None not in r.calibrated[:count]]
    if not rows:
        return StackedBars((), 50.0)
    values = np.array([row.calibrated[:count] for row in rows], float)
    parts = (values - values.mean(0)) * np.asarray(weights, float)
    low = float(np.minimum(parts, 0).sum(1).min())
    high = float(np.maximum(parts, 0).sum(1).max())
    margin = _MARGIN * (high - low) or 0.5  # alone, the average candidate is mid-axis
    low, high = low - margin, high + margin
    span = high - low
    zero = 100 * -low / span
    bars = [_bar(row, part, zero, span) for row, part in zip(rows, parts, strict=True)]
    return StackedBars(tuple(bars), zero)


def _bar(row: RankedRow, parts: np.ndarray, zero: float, span: float) -> StackedBar:
    segments, right, left = [], zero, zero
    for verifier, part in enumerate(parts):
        width = abs(100 * float(part) / span)
        if part < 0:
            left -= width
        segments.append(
            Segment(verifier, float(part), left if part < 0 else right, width)
        )
        if part >= 0:
            right += width
    total = float(parts.sum())
    return StackedBar(row, tuple(segments), total, zero + 100 * total / span)


def lines(history: Sequence[Sequence[float | None]]) -> LineChart:
    """Lay out one line per column over the rows; a missing value breaks its line.

    Args:
        history: ``[P][V]`` values of at least zero, with two rows or more.
    """
    table = np.array(history, float)  # None becomes NaN
    known = table[np.isfinite(table)]
    top = _round_up(float(known.max())) if known.size else 1.0
    places = np.linspace(0, 100, len(table))
    paths = [svg_path(places, 100 - 100 * column / top) for column in table.T]
    last = tuple(float(v) if np.isfinite(v) else None for v in table[-1])
    return LineChart(tuple(paths), top, last, len(table))


def svg_path(xs: np.ndarray, ys: np.ndarray) -> str:
    """Return the SVG path through points; one that is not finite breaks the line."""
    commands, pen_down = [], False
    for x, y in zip(xs, ys, strict=True):
        if np.isfinite(y):
            commands.append(f"{'L' if pen_down else 'M'}{x:.2f} {y:.2f}")
        pen_down = bool(np.isfinite(y))
    return " ".join(commands)


def _round_up(value: float) -> float:
    """Return the next of 1, 2, 2.5, 5 times a power of ten."""
    if value < _LEAST_TOP:
        return 1.0
    power = 10.0 ** np.floor(np.log10(value))
    # The logarithm of a power of ten may be rounded to below a whole number.
    return float(next((s for s in (1, 2, 2.5, 5) if s * power >= value), 10) * power)

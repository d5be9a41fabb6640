"""JavisBench's categories: which rows of its CSV are of which label.

A row counts in full in every category that it names; nothing is weighted.

Upstream: JavisVerse/JavisDiT at b505b37, eval/javisbench/configs/category.json and
JavisEvaluator.parse_aspect_dict of eval/javisbench/main.py. Aspect 3 is the temporal
one and 4 the spatial one; the benchmark's README lists them the other way round.
"""

from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Int

ASPECTS = {
    "event scenario": ("natural", "urban", "living", "industrial", "virtual"),
    "visual style": ("camera", "2D", "3D"),
    "sound type": ("ambient", "biological", "mechanical", "musical", "speech"),
    "temporal composition": ("single", "sequential", "simultaneous"),
    "spatial composition": ("single", "multiple", "off-screen"),
}
"""Titles of the categories of each aspect, in the benchmark's order."""

SIZES = tuple(len(titles) for titles in ASPECTS.values())
Members = list[list[Int[np.ndarray, " _"]]]
"""For every aspect and category, the rows that are of it, in order."""


def members(rows: Sequence[Mapping[str, str]], sizes: Sequence[int] = SIZES) -> Members:
    """Find the rows of every category.

    Args:
        rows: of the CSV, each with ``cat0_ind``, ``cat1_ind``, ...: numbers of
            categories from 0, separated by commas.
        sizes: how many categories each aspect has.

    Raises:
        ValueError: a row lacks such a column, or names no category that there is.
    """
    return [
        _of_aspect(rows, f"cat{aspect}_ind", size) for aspect, size in enumerate(sizes)
    ]


def _of_aspect(
    rows: Sequence[Mapping[str, str]], column: str, size: int
) -> list[Int[np.ndarray, " _"]]:
    found: list[list[int]] = [[] for _ in range(size)]
    for place, row in enumerate(rows):
        for label in _labels(row, column, place, size):
            found[label].append(place)
    return [np.array(places, np.int64) for places in found]


def _labels(
    row: Mapping[str, str], column: str, place: int, size: int
) -> Sequence[int]:
    text = row.get(column)
    if text is None:
        raise ValueError(f"row {place} has no column {column!r}")
    labels = [part.strip() for part in text.split(",")]
    if not all(label.isdecimal() and int(label) < size for label in labels):
        raise ValueError(
            f"{column} of row {place} must hold numbers from 0 to {size - 1}, "
            f"separated by commas, got {text!r}"
        )
    return [int(label) for label in labels]

"""Render study.html, the page of a study of kept rewards."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from avits_jax.catalogue.scales import judges_in_words, limits_of
from avits_jax.files.atomic import write_text
from avits_jax.report.page import environment
from avits_jax.report.run_charts import CountChart, Limits, over_counts


def write_study_page(
    folder: str | os.PathLike[str], numbers: Mapping[str, Any]
) -> Path:
    """Render ``study.html`` into a folder.

    The page needs no network and no other file.

    Args:
        folder: one that exists.
        numbers: of `avits_jax.study.to_json`.

    Raises:
        OSError: the page cannot be written.
    """
    page = environment().get_template("study.html.j2").render(_view(numbers))
    return write_text(Path(folder) / "study.html", page)


def _view(numbers: Mapping[str, Any]) -> dict[str, Any]:
    names = [verifier["name"] for verifier in numbers["verifiers"]]
    curves = [curve["selection"] for curve in numbers["growth"]]
    places = [
        place
        for place, selection in enumerate(numbers["selections"])
        if selection["selection"] in curves
    ]
    return {
        "numbers": numbers,
        "names": names,
        "judged": [(name, judges_in_words(name)) for name in names],
        "truth": bool(numbers["truth"]),
        "curves": curves,
        "charts": _charts(numbers, names),
        "pairs": [
            ("Spearman correlation within prompts", numbers["spearman"]),
            ("Same winner", numbers["same_winner"]),
        ],
        "main": [numbers["selections"][place]["selection"] for place in places],
        "agreement": [
            [numbers["agreement"][row][column] for column in places] for row in places
        ],
    }


def _charts(
    numbers: Mapping[str, Any], names: Sequence[str]
) -> list[tuple[str, CountChart]]:
    """Return titled charts: the rate of right winners, and each verifier's reward."""
    points = [curve["points"] for curve in numbers["growth"]]
    found = [
        (name, _chart(points, lambda p, n=name: p["rewards"][n], limits_of(name)))
        for name in names
    ]
    if numbers["truth"]:
        right = _chart(points, lambda point: point["right"]["mean"], (0.0, 1.0))
        found.insert(0, ("Right winners", right))
    return [(title, chart) for title, chart in found if chart is not None]


def _chart(
    points: Sequence[Sequence[Mapping[str, Any]]], value: Any, limits: Limits
) -> Any:
    counts = [point["num_candidates"] for point in points[0]] if points else []
    lines = [[value(point) for point in line] for line in points]
    return over_counts(counts, np.array(lines, float).T, limits)

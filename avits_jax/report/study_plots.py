"""Pictures of a study for a paper, where matplotlib is installed."""

import importlib
import io
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from avits_jax.files.atomic import write_bytes

_DPI = 200
_MOST_BARS = 40
_IN_A_ROW = 3


def can_plot() -> bool:
    """Tell whether matplotlib is installed."""
    try:
        importlib.import_module("matplotlib")
    except ImportError:
        return False
    return True


def write_study_plots(
    folder: str | os.PathLike[str], numbers: Mapping[str, Any]
) -> list[Path]:
    """Write ``success.png``, ``growth.png`` and ``verifiers.png`` into a folder.

    Args:
        folder: one that exists.
        numbers: of `avits_jax.study.to_json`.

    Returns:
        the files; a study of one candidate a prompt has no growth.

    Raises:
        ImportError: matplotlib is not installed, see `can_plot`.
        OSError: a file cannot be written.
    """
    figures = {
        "success": _success(numbers),
        "growth": _growth(numbers),
        "verifiers": _verifiers(numbers),
    }
    paths = []
    for name, figure in figures.items():
        if figure is not None:
            png = io.BytesIO()
            figure.savefig(png, format="png", dpi=_DPI)
            paths.append(write_bytes(Path(folder) / f"{name}.png", png.getvalue()))
    return paths


def _panels(
    count: int, width: float, height: float, *, beside: float = 0.0
) -> tuple[Any, list[Any]]:
    """Return a figure of panels of a size in inches, at most three in a row.

    Args:
        count: panels.
        width: of each.
        height: of each.
        beside: room for what stands beside them all.
    """
    from matplotlib.figure import Figure

    columns = min(count, _IN_A_ROW)
    rows = -(-count // columns)
    size = (beside + width * columns, height * rows)
    figure = Figure(figsize=size, layout="constrained")
    axes = list(figure.subplots(rows, columns, squeeze=False).flat)
    for axis in axes[count:]:
        axis.set_visible(False)
    return figure, axes[:count]


def _success(numbers: Mapping[str, Any]) -> Any:
    """Draw what each selection's winners gain: how many are right, or rewards."""
    main = {curve["selection"] for curve in numbers["growth"]}
    rows = [row for row in numbers["selections"] if row["selection"] in main]
    rows = rows[:_MOST_BARS]
    places = range(len(rows))
    if numbers["truth"]:
        panels = [("right winners", [row["right"] for row in rows])]
    else:
        names = [verifier["name"] for verifier in numbers["verifiers"]]
        panels = [
            (f"gain in {name}", [row["gains"][name] for row in rows]) for name in names
        ]
    figure, axes = _panels(len(panels), 3.4, 1 + 0.25 * len(rows), beside=2)
    for number, (axis, (title, values)) in enumerate(zip(axes, panels, strict=True)):
        means = [value["mean"] for value in values]
        ends = [
            [value["mean"] - value["low"] for value in values],
            [value["high"] - value["mean"] for value in values],
        ]
        axis.barh(places, means, xerr=ends, color="#3b6fd4", ecolor="#1c1e21")
        axis.margins(y=0.01)
        axis.invert_yaxis()
        axis.set_yticks(places, [row["selection"] for row in rows])
        axis.set_xlabel(title)
        axis.spines[["top", "right"]].set_visible(False)
        if number % _IN_A_ROW:
            axis.set_yticklabels([])
    if numbers["truth"]:
        axes[0].axvline(numbers["one_sample"]["right"]["mean"], color="#5c6169", ls=":")
    return figure


def _growth(numbers: Mapping[str, Any]) -> Any:
    """Draw what selections come to over numbers of candidates."""
    curves = numbers["growth"]
    if not curves or len(curves[0]["points"]) < 2:
        return None
    names = [verifier["name"] for verifier in numbers["verifiers"]]
    panels = ["right", *names] if numbers["truth"] else names
    height = max(2.6, 0.5 + 0.22 * len(curves) * _IN_A_ROW / len(panels))
    figure, axes = _panels(len(panels), 3.2, height, beside=3.6)
    for axis, panel in zip(axes, panels, strict=True):
        for place, curve in enumerate(curves):
            counts = [point["num_candidates"] for point in curve["points"]]
            values = [
                point["right"]["mean"] if panel == "right" else point["rewards"][panel]
                for point in curve["points"]
            ]
            style = "-" if place < 10 else "--"
            axis.plot(counts, values, style, marker=".", label=curve["selection"])
        axis.set_xscale("log", base=2)
        axis.set_xticks(counts, [str(count) for count in counts])
        axis.minorticks_off()
        axis.set_xlabel("candidates")
        axis.set_ylabel("right winners" if panel == "right" else panel)
        axis.spines[["top", "right"]].set_visible(False)
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside right center")
    return figure


def _verifiers(numbers: Mapping[str, Any]) -> Any:
    """Draw how verifiers relate, as two heat maps."""
    names = [verifier["name"] for verifier in numbers["verifiers"]]
    size = 1.5 + 0.6 * len(names)
    figure, axes = _panels(2, size + 0.5, size)
    for axis, key, title, low in (
        (axes[0], "spearman", "Spearman correlation", -1),
        (axes[1], "same_winner", "same winner", 0),
    ):
        table = [
            [float("nan") if v is None else v for v in row] for row in numbers[key]
        ]
        axis.imshow(table, vmin=low, vmax=1, cmap="Blues" if low == 0 else "RdBu")
        for y, row in enumerate(table):
            for x, value in enumerate(row):
                dark = abs(value) > 0.6
                ink = "white" if dark else "black"
                axis.text(x, y, f"{value:.2f}", ha="center", va="center", color=ink)
        axis.set_xticks(range(len(names)), names, rotation=30, ha="right")
        axis.set_yticks(range(len(names)), names)
        axis.set_title(title, fontsize=10)
    return figure

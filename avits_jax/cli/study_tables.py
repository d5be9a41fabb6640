"""Tables of a study for the terminal, none wider than it."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rich import box
from rich.markup import escape
from rich.table import Table

from avits_jax.cli.errors import printable
from avits_jax.cli.terminal import console_for

_MOST_ROWS = 40
_PLAIN_WIDTH = 100  # of a file or pipe
_LABELS = 36  # columns that the names of a selection may take
_NUMBER, _PERCENT = 10, 8  # and a number with its space


def print_study(numbers: Mapping[str, Any]) -> None:
    """Print what a study found.

    Args:
        numbers: of `avits_jax.study.to_json`.
    """
    console = console_for(_PLAIN_WIDTH)
    rows = _shown(numbers)
    console.print(_summary(numbers), highlight=False, markup=False)
    console.print(_success(numbers, rows))
    names = [verifier["name"] for verifier in numbers["verifiers"]]
    room = console.width - _LABELS
    for part in _parts(names, max(room // _NUMBER, 1)):
        console.print(_rewards(numbers, rows, part))
    if len(names) > 1:
        console.print(_pairs(numbers, names))
    counts = [point["num_candidates"] for point in numbers["growth"][0]["points"]]
    for part in _parts(range(len(counts)), max(room // _PERCENT, 1)):
        console.print(_growth(numbers, counts, part))


def _shown(numbers: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Return the selections to print: not every set under every aggregator."""
    main = {curve["selection"] for curve in numbers["growth"]}
    rows = numbers["selections"]
    names = {row["aggregator"] for row in rows}
    usual = "arw" if "arw" in names else rows[-1]["aggregator"]
    shown = [r for r in rows if r["selection"] in main or r["aggregator"] == usual]
    return shown[:_MOST_ROWS]


def _summary(numbers: Mapping[str, Any]) -> str:
    parts = [
        f"{numbers['num_prompts']} prompts of {len(numbers['runs'])} "
        f"run{'s' if len(numbers['runs']) > 1 else ''}",
        f"{numbers['num_candidates']} candidates",
        f"{numbers['num_candidates_failed']} of them failed and left out",
    ]
    if numbers["num_prompts_lost"]:
        lost = numbers["num_prompts_lost"]
        parts.append(
            f"{lost} more prompt{'s' if lost > 1 else ''} without a usable one"
        )
    if numbers["truth"]:
        parts.append(f"truth of {numbers['num_prompts_of_known_truth']} prompts known")
    hidden = len(numbers["selections"]) - len(_shown(numbers))
    if hidden:
        parts.append(f"{hidden} more selections in study.html and study.json")
    return "; ".join(parts)


def _success(numbers: Mapping[str, Any], rows: Sequence[Mapping[str, Any]]) -> Table:
    table = _table("winners against the mean candidate (95% intervals over prompts)")
    if numbers["truth"]:
        _add_columns(table, "right")
    _add_columns(table, "none worse", "a judge worse")
    if numbers["truth"]:
        right = numbers["one_sample"]["right"]
        table.add_row("one sample", "", _rate(right), "", "")
    for row in rows:
        right = [_rate(row["right"])] if numbers["truth"] else []
        rates = _rate(row["none_worse"]), _rate(row["judge_worse"])
        table.add_row(*_labels(numbers, row), *right, *rates)
    if numbers["truth"]:
        right = numbers["best_possible"]["right"]
        table.add_row("best possible", "", _rate(right), "", "")
    return table


def _rewards(
    numbers: Mapping[str, Any], rows: Sequence[Mapping[str, Any]], names: Sequence[str]
) -> Table:
    table = _table("mean reward of the winner (* guided)")
    _add_columns(table, *names)
    ends = [("one sample", numbers["one_sample"])]
    ends.append(("best possible", numbers["best_possible"]))
    cells = [
        [title, "", *(_show(end["rewards"][name]) for name in names)]
        for title, end in ends
    ]
    table.add_row(*cells[0])
    for row in rows:
        marks = ["*" if row["weights"][name] else " " for name in names]
        values = [row["rewards"][name] for name in names]
        shown = [_show(v) + mark for v, mark in zip(values, marks, strict=True)]
        table.add_row(*_labels(numbers, row), *shown)
    table.add_row(*cells[1])
    return table


def _pairs(numbers: Mapping[str, Any], names: Sequence[str]) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, title="pairs of verifiers")
    for name in ("verifier", "and"):
        table.add_column(name, overflow="fold")
    _add_columns(table, "Spearman", "same winner")
    for first in range(len(names)):
        for second in range(first + 1, len(names)):
            table.add_row(
                escape(printable(names[first])),
                escape(printable(names[second])),
                _show(numbers["spearman"][first][second]),
                _percent(numbers["same_winner"][first][second]),
            )
    table.add_row(
        "two random choices", "", "0", _percent(numbers["agreement_by_chance"])
    )
    return table


def _growth(
    numbers: Mapping[str, Any], counts: Sequence[int], places: Sequence[int]
) -> Table:
    curves = {curve["selection"]: curve["points"] for curve in numbers["growth"]}
    what = "right winners" if numbers["truth"] else "share of the possible gain"
    table = _table(f"{what} with the first candidates alone")
    _add_columns(table, *(str(counts[place]) for place in places))
    for row in numbers["selections"]:
        if row["selection"] in curves:
            points = curves[row["selection"]]
            cells = [_percent(_worth(numbers, points[place])) for place in places]
            table.add_row(*_labels(numbers, row), *cells)
    if not numbers["truth"]:
        table.caption = "mean over all verifiers"
    return table


def _worth(numbers: Mapping[str, Any], point: Mapping[str, Any]) -> float | None:
    """Return the rate of right winners, or what is attained of the possible gain."""
    if numbers["truth"]:
        return point["right"]["mean"]
    mean, best = (numbers[k]["rewards"] for k in ("one_sample", "best_possible"))
    shares = [
        point["gains"][name]["mean"] / (best[name] - mean[name])
        for name in mean
        if best[name] > mean[name]
    ]
    return sum(shares) / len(shares) if shares else None


def _parts(values: Sequence[Any], size: int) -> Iterator[Sequence[Any]]:
    """Yield as many values at once as there is room for."""
    for start in range(0, len(values), size):
        yield values[start : start + size]


def _table(title: str) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, title=title)
    table.add_column("guides", overflow="fold", min_width=10)
    table.add_column("aggregator", overflow="fold")
    return table


def _add_columns(table: Table, *names: str) -> None:
    for name in names:
        table.add_column(escape(printable(name)), justify="right", overflow="fold")


def _labels(numbers: Mapping[str, Any], row: Mapping[str, Any]) -> tuple[str, str]:
    guides = [v["name"] for v in numbers["verifiers"] if v["guides"]]
    used = {name: weight for name, weight in row["weights"].items() if weight}
    if set(used.values()) != {1.0}:
        text = ",".join(f"{row['weights'][name]:g}" for name in guides)
    elif len(used) == len(guides) > 1:
        text = f"all {len(guides)}"
    else:
        text = " + ".join(used)
    return escape(printable(text)), row["aggregator"]


def _rate(interval: Mapping[str, float | None] | None) -> str:
    if interval is None or interval["mean"] is None:
        return "-"
    low, high = (100 * (interval[end] or 0) for end in ("low", "high"))
    return f"{_percent(interval['mean'])} {low:.1f}-{high:.1f}"


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.1f}%"


def _show(value: float | None) -> str:
    return "-" if value is None else f"{value:.4g}"

"""Tables for the terminal."""

from collections.abc import Mapping
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

_FILE_WIDTH = 240


def print_candidates(results: dict[str, Any]) -> None:
    """Print candidates by rank: raw rewards, calibrated rewards, score.

    Args:
        results: as in results.json.
    """
    from avits_jax.report import ranked_rows

    names = [verifier["name"] for verifier in results["verifiers"]]
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    for heading in ("rank", "clip"):
        table.add_column(heading, justify="right", no_wrap=True)
    for kind in ("raw", "calib."):
        for name in names:
            table.add_column(f"{name}\n{kind}", justify="right", no_wrap=True)
    table.add_column("score", justify="right", no_wrap=True)
    for row in ranked_rows(results):
        numbers = (*row.rewards, *row.calibrated, row.score)
        table.add_row(
            "failed" if row.rank is None else str(row.rank),
            str(row.index),
            *map(_show, numbers),
            style="bold" if row.best else ("dim" if row.failed else None),
        )
    _print(table)


def print_rewards(rewards: Mapping[str, float | None]) -> None:
    """Print one reward per verifier; None shows as failed."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("verifier")
    table.add_column("reward", justify="right")
    for name, reward in rewards.items():
        table.add_row(name, "failed" if reward is None else _show(reward))
    _print(table)


def _print(table: Table) -> None:
    # A file or pipe has no width that a table would have to be squeezed into.
    console = Console()
    console = console if console.is_terminal else Console(width=_FILE_WIDTH)
    console.print(table)


def _show(number: float | None) -> str:
    return "-" if number is None else f"{number:.3f}"

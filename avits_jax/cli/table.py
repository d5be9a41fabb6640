"""Tables for the terminal."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from avits_jax.catalogue.scales import output_of, range_in_words, spread_in_words
from avits_jax.cli.errors import printable

if TYPE_CHECKING:
    from avits_jax.cli.judgements import Judgement

_FILE_WIDTH = 240


def print_candidates(results: dict[str, Any]) -> None:
    """Print candidates by rank: raw and calibrated rewards, score, judges' rewards.

    Args:
        results: as in results.json.
    """
    from avits_jax.report import ranked_rows

    verifiers = results["verifiers"]
    names = [verifier["name"] for verifier in verifiers if verifier["guides"]]
    judges = [verifier["name"] for verifier in verifiers if not verifier["guides"]]
    count = len(names)
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    for heading in ("rank", "clip"):
        table.add_column(heading, justify="right", no_wrap=True)
    for kind in ("raw", "calib."):
        for name in names:
            table.add_column(f"{name}\n{kind}", justify="right", no_wrap=True)
    table.add_column("score", justify="right", no_wrap=True)
    for name in judges:
        table.add_column(f"{name}\njudge", justify="right", no_wrap=True)
    for row in ranked_rows(results):
        own = (*row.rewards[:count], *row.calibrated[:count], row.score)
        numbers = (*own, *row.rewards[count:])
        table.add_row(
            "failed" if row.rank is None else str(row.rank),
            str(row.index),
            *map(_show, numbers),
            style="bold" if row.best else ("dim" if row.failed else None),
        )
    _print(table)


def print_rewards(rewards: Mapping[str, float | None]) -> None:
    """Print one reward per verifier, and its scale; None shows as failed."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("verifier")
    table.add_column("reward", justify="right")
    table.add_column("range")
    table.add_column("samples have")
    for name, reward in rewards.items():
        known = output_of(name)
        scale = "", ""
        if known is not None:
            scale = range_in_words(known), spread_in_words(known) or "-"
        table.add_row(name, "failed" if reward is None else _show(reward), *scale)
    _print(table)


def print_judgements(judgements: Sequence["Judgement"]) -> None:
    """Print one row a clip: its rewards, and why one is missing."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("clip", overflow="fold")
    for name in judgements[0].rewards:
        table.add_column(name, justify="right")
    failed = any(judgement.reason for judgement in judgements)
    if failed:
        table.add_column("why it failed", overflow="fold")
    for judgement in judgements:
        cells = [
            escape(printable(judgement.clip)),
            *map(_show, judgement.rewards.values()),
        ]
        if failed:
            cells.append(escape(printable(judgement.reason or "")))
        table.add_row(*cells)
    _print(table)


def _print(table: Table) -> None:
    # A file or pipe has no width that a table would have to be squeezed into.
    console = Console()
    console = console if console.is_terminal else Console(width=_FILE_WIDTH)
    console.print(table)


def _show(number: float | None) -> str:
    return "-" if number is None else f"{number:.3f}"

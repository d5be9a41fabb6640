"""List models, verifiers and presets, and whether their weights are present."""

import dataclasses
from typing import Any

EXAMPLE = "avits list"


@dataclasses.dataclass(frozen=True)
class Options:
    """List models, verifiers and presets, and whether their weights are present."""


def run(options: Options) -> int:
    """Run the command; return its exit status."""
    from rich.console import Console

    from avits_jax import generators, verifiers
    from avits_jax.cli.config import presets

    console = Console()
    console.print(_table("model", generators.available()))
    console.print(_table("verifier", verifiers.available()))
    console.print(f"presets for --config: {', '.join(presets())}", highlight=False)
    return 0


def _table(kind: str, records: list[Any]) -> Any:
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for heading in (kind, "weights", "licence", "needs", "what it does"):
        table.add_column(heading, overflow="fold")
    for record in records:
        present = "present" if record.present else "missing"
        table.add_row(
            record.name, present, record.licence, record.needs, record.description
        )
    return table

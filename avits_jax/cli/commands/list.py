"""List models, verifiers, metrics and presets, and which weights are present."""

import dataclasses
import itertools
import os
from collections.abc import Sequence
from typing import TYPE_CHECKING

from avits_jax.catalogue.generators import FAMILIES, Family
from avits_jax.catalogue.records import HOME
from avits_jax.cli.errors import FAILED, as_cli_error
from avits_jax.files.stores import address_of

if TYPE_CHECKING:
    from rich.console import Console

    from avits_jax.catalogue.records import Info

EXAMPLE = "avits list"
_FILE_WIDTH = 100


@dataclasses.dataclass(frozen=True)
class Options:
    """List models, verifiers, metrics and presets, and which weights are present."""

    verify: bool = False
    """Read every file of all weights that are present, and say which are damaged."""


def run(options: Options, families: Sequence[Family] = FAMILIES) -> int:
    """Run the command; return its exit status."""
    from avits_jax import generators, verifiers
    from avits_jax.catalogue import metrics
    from avits_jax.cli.config import presets
    from avits_jax.cli.terminal import console_for

    console = console_for(_FILE_WIDTH, markup=False)
    with as_cli_error():
        models, judges = generators.available(families), verifiers.available()
        networks = metrics.infos()
    if options.verify:
        return _verify([*models, *judges, *networks], console)
    _print_groups("MODELS", models, console)
    _print_groups("VERIFIERS: NAME, or NAME[@CHECKPOINT][:MODE]", judges, console)
    console.print(
        "CHECKPOINT is a converted folder, or tiny: small, with random weights. MODE "
        "is default, bench or its, where a verifier has it.\n"
    )
    _print_groups("METRICS, of sets of clips: their networks", networks, console)
    _print_options(families, console)
    console.print(f"PRESETS for --config: {', '.join(presets())}")
    _print_missing([*models, *judges, *networks], console)
    return 0


def _print_groups(title: str, infos: Sequence["Info"], console: "Console") -> None:
    """Print what shares its weights together: their state once, then the names."""
    from rich.table import Table

    console.print(title)
    width = max(len(info.name) for info in infos)
    for state, group in itertools.groupby(infos, _weights):
        console.print(f"  {state}")
        table = Table.grid(padding=(0, 2, 0, 0))
        table.add_column(width=4)
        table.add_column(width=width, no_wrap=True)
        table.add_column(overflow="fold")
        for info in group:
            table.add_row("", info.name, info.description)
        console.print(table)
    console.print()


def _weights(info: "Info") -> str:
    """Say which weights, whether they are there, and their licence."""
    if info.random:
        return "random weights, always"
    if info.folder is None:
        return "no weights needed"
    state = "present" if info.present else "missing"
    if info.left_out:
        state += f", without {', '.join(info.left_out)}"
    return f"{info.convert or 'shipped'} weights: {state} ({info.licence})"


def _print_options(families: Sequence[Family], console: "Console") -> None:
    """Print what --set takes, once for models of one module."""
    from rich.table import Table

    from avits_jax.cli.model_options import kind_name
    from avits_jax.generators import options

    console.print("OPTIONS for --set NAME=VALUE")
    for _, group in itertools.groupby(families, lambda family: family.module):
        names = [family.name for family in group]
        console.print(f"  {', '.join(names)}")
        table = Table.grid(padding=(0, 2, 0, 0))
        table.add_column(width=4)
        table.add_column(no_wrap=True)
        table.add_column(overflow="fold")
        for name, option in options(names[0], families).items():
            default = "" if option.default is None else f" ({option.default})"
            kind = kind_name(option.kind)
            table.add_row("", name, f"{kind}: {option.description}{default}")
        console.print(table)
    console.print()


def _verify(infos: Sequence["Info"], console: "Console") -> int:
    """Say of every checkpoint that is present whether it is whole."""
    from avits_jax.weights.manifest import CheckpointError
    from avits_jax.weights.parts import verify_files

    damaged = 0
    present = (info.folder for info in infos if info.folder and info.present)
    for folder in dict.fromkeys(present):
        try:
            verify_files(folder)
            console.print(f"whole    {folder}", soft_wrap=True)
        except CheckpointError as error:
            damaged += 1
            console.print(f"DAMAGED  {folder}: {error}", soft_wrap=True)
    return FAILED if damaged else 0


def _print_missing(infos: Sequence["Info"], console: "Console") -> None:
    """Say for each missing checkpoint, once, what to fetch and how to convert it."""
    from rich.padding import Padding

    missing = {info.convert: info for info in infos if not info.present}
    if not missing:
        return
    console.print("\nMISSING WEIGHTS (--random-weights tries everything without them)")
    home = os.environ.get(HOME, "")
    if address_of(home) is not None:
        console.print(f"  Copied from {home} if they are there, when they are named")
    for name, info in missing.items():
        console.print(f"  {name}")
        lines = [
            f"{each.what} of {each.repository} ({each.gigabytes:g} GB, {each.licence})"
            for each in info.downloads
        ]
        for line in [*lines, info.notice] if info.notice else lines:
            console.print(Padding(line, (0, 0, 0, 4)))
        console.print(
            f"    avits convert {name} --source FOLDER --out {info.folder}",
            soft_wrap=True,
        )

"""Write report.html of a run folder again."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import tyro

from avits_jax.catalogue.generators import FAMILIES, Family
from avits_jax.cli.errors import as_cli_error

EXAMPLE = "avits report runs/first"


@dataclasses.dataclass(frozen=True)
class Options:
    """Write report.html of a run folder again, from its results and clips."""

    run: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="RUN")]
    """A folder that "avits generate", "avits run" or "avits merge" wrote."""


def run(options: Options, families: Sequence[Family] = FAMILIES) -> int:
    """Run the command; return its exit status."""
    from avits_jax.report import write_report, write_run_report
    from avits_jax.runs import is_run

    write = write_run_report if is_run(options.run) else write_report
    with as_cli_error():
        print(write(options.run))
    return 0

"""Write report.html of a run folder again."""

import dataclasses
from collections.abc import Sequence
from typing import Annotated

import tyro

from avits_jax.catalogue.generators import FAMILIES, Family
from avits_jax.cli.checks import check_places
from avits_jax.cli.errors import as_cli_error
from avits_jax.files.stores import inside, open_store

EXAMPLE = "avits report runs/first"


@dataclasses.dataclass(frozen=True)
class Options:
    """Write report.html of a run folder again, from its results and clips."""

    run: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="RUN")]
    """A folder that "avits generate", "run" or "merge" wrote, here or in a store."""


def run(options: Options, families: Sequence[Family] = FAMILIES) -> int:
    """Run the command; return its exit status."""
    from avits_jax.report import write_report, write_run_report
    from avits_jax.runs import is_run, local_run

    check_places(options.run)
    with as_cli_error(), local_run(options.run) as folder:
        write = write_run_report if is_run(folder) else write_report
        page = write(folder)
        if store := open_store(options.run):
            store.upload([(page.name, page)])
    print(inside(options.run, page.name))
    return 0

"""Search for every prompt of a file; goes on where it was interrupted."""

from collections.abc import Sequence
from pathlib import Path

from avits_jax.catalogue.generators import FAMILIES, Family
from avits_jax.cli.checks import check_local_folders, check_places, check_search
from avits_jax.cli.errors import CliError, as_cli_error
from avits_jax.cli.options import RunOptions as Options
from avits_jax.cli.policy_flags import check_policy

EXAMPLE = "avits run prompts.csv --out runs/many --search evosearch"


def run(options: Options, families: Sequence[Family] = FAMILIES) -> int:
    """Run the command; return its exit status."""
    from avits_jax.runs.rows import parse_shard

    check_search(options)
    check_policy(options)
    with as_cli_error("--shard: "):
        parse_shard(options.shard or "1/1")
    if Path(options.out) == Path():
        raise CliError("--out is empty, or the present folder; name a new one")
    check_local_folders(profile=options.profile, log=options.log)
    check_places(options.prompts, options.out, options.start or "")
    # Only now what takes seconds to import and load.
    from avits_jax.cli import session

    return session.run_session(options, families)

"""Search for every prompt of a file; goes on where it was interrupted."""

import dataclasses
from pathlib import Path
from typing import Annotated

import tyro

from avits_jax.cli.checks import check_search
from avits_jax.cli.errors import CliError, as_cli_error
from avits_jax.cli.options import (
    ConfigFile,
    DeviceOptions,
    Limit,
    OtherRun,
    PolicyOptions,
    SearchOptions,
    ShardOf,
)
from avits_jax.cli.policy_flags import check_policy

EXAMPLE = "avits run prompts.csv --out runs/many --search evosearch"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Options(SearchOptions, PolicyOptions, DeviceOptions):
    """Search for every prompt of a file; what ARW learns goes from prompt to prompt.

    Killed at any moment, the same command goes on and ends with the same result. Keeps
    the chosen clips, every candidate's rewards (records.jsonl), and report.html.

    Exit status 3: the run is complete, but some prompts failed; the report says why.
    """

    prompts: Annotated[
        tyro.conf.Positional[Path], tyro.conf.arg(metavar="PROMPTS.csv|.txt|.jsonl")
    ]
    """One prompt a row; UTF-8."""
    out: Path
    """Run folder to write, or to go on with."""
    column: str = "text"
    """Column (.csv) or key (.jsonl) that holds the prompt."""
    limit: Limit = None
    """Only the first rows; a larger limit goes on with the same run."""
    shard: ShardOf = None
    """Only every N-th row, from the I-th; "avits merge" joins the shards."""
    start: OtherRun = None
    """Begin with what the aggregator of another run, or a merged one, has learned."""
    config: ConfigFile = None
    """Defaults for these flags: a preset, or a file such as a run's config.toml."""
    compilation_cache: bool = True
    """Whether compiled programs are kept for the next run."""


def run(options: Options) -> int:
    """Run the command; return its exit status."""
    from avits_jax.runs.rows import parse_shard

    check_search(options)
    check_policy(options)
    with as_cli_error("--shard: "):
        parse_shard(options.shard or "1/1")
    if options.out == Path():
        raise CliError("--out is empty, or the present folder; name a new one")
    # Only now what takes seconds to import and load.
    from avits_jax.cli import session

    return session.run_session(options)

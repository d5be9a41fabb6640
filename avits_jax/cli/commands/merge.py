"""Put the shards of a run together: rewards, clips, what was learned, report."""

import contextlib
import dataclasses
import functools
import typing
from collections.abc import Sequence
from typing import Annotated, Any

import tyro

from avits_jax.catalogue.generators import FAMILIES, Family
from avits_jax.cli.checks import check_places
from avits_jax.cli.config import convert
from avits_jax.cli.errors import as_cli_error, status_of
from avits_jax.cli.options import SearchOptions
from avits_jax.files.stores import inside

EXAMPLE = "avits merge runs/shard1 runs/shard2 --out runs/whole"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Options:
    """Put the shards of a run together: rewards, clips, what was learned, report.

    The merged folder has the records and clips of all shards in row order. Its run.json
    has the merged state of the aggregator: the moments of all rewards together. Shards
    that are unfinished, or not all there, are refused.

    Exit status 1 or 3: all or some of the prompts had failed in the shards.
    """

    runs: Annotated[tyro.conf.Positional[tuple[str, ...]], tyro.conf.arg(metavar="RUN")]
    """Run folders of "avits run --shard", two or more; here or in a store."""
    out: Annotated[str, tyro.conf.arg(metavar="FOLDER")]
    """Folder to write; or an address, gs:// or s3://."""


def run(options: Options, families: Sequence[Family] = FAMILIES) -> int:
    """Run the command; return its exit status."""
    from avits_jax import runs
    from avits_jax.report import write_run_report
    from avits_jax.runs import states

    check_places(*options.runs, options.out)
    with as_cli_error(), contextlib.ExitStack() as stack:
        out = stack.enter_context(runs.new_run(options.out))
        copies = (runs.local_run(run, clips=True) for run in options.runs)
        folders = [stack.enter_context(copy) for copy in copies]
        made = runs.read_shards(folders)
        merged = _merged_state(made[0], runs.last_states(folders))
        learned = states.numbers(merged)
        counts = runs.merge_runs(folders, out, learned, write_run_report, options.runs)
    failed = f", {counts.num_failed} of them failed" if counts.num_failed else ""
    print(f"{counts.num_prompts} prompts of {len(options.runs)} runs{failed}")
    print(f"report     {inside(options.out, 'report.html')}")
    return status_of(counts.num_prompts, counts.num_failed)


def _merged_state(made: dict[str, Any], packed: list[bytes]) -> Any:
    """Return the state of an aggregator that learned from all shards."""
    from avits_jax import aggregation
    from avits_jax.cli.aggregators import choose_aggregator
    from avits_jax.runs import states

    chosen = choose_aggregator(_search_options(made["settings"]))
    fresh = states.on_host(chosen.aggregator.init(len(made["verifiers"])))
    found = [states.unpack(data, fresh) for data in packed]
    if isinstance(fresh, aggregation.ArwState):
        # A prior is in every shard's state, and must count once.
        join = functools.partial(aggregation.arw_merge, shared=fresh)
        return functools.reduce(join, found)
    if isinstance(fresh, aggregation.Moments):
        return functools.reduce(aggregation.merge_moments, found)
    return fresh  # it learns nothing


def _search_options(settings: dict[str, Any]) -> SearchOptions:
    """Return the flags that decide the aggregator, as the run had them."""
    hints = typing.get_type_hints(SearchOptions)
    values: dict[str, Any] = {}
    for field in dataclasses.fields(SearchOptions):
        value = settings.get(field.name)
        if value is not None:  # what a run did not state keeps its default
            where = f"{field.name} in run.json"
            values[field.name] = convert(value, hints[field.name], where)
    return SearchOptions(**values)

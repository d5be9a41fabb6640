"""Measure clips as JavisBench or av-benchmark do, and make tables."""

from collections.abc import Sequence
from pathlib import Path

from avits_jax.catalogue.generators import FAMILIES, Family
from avits_jax.cli.checks import check_local_folders, check_search
from avits_jax.cli.errors import CliError, check_known
from avits_jax.cli.options import BenchOptions as Options
from avits_jax.cli.policy_flags import check_policy

EXAMPLE = (
    "avits bench javisbench-mini --prompts JavisBench-mini.csv --model javisdit-v0.1 "
    "--verifiers javis_score,video_reward --out bench/arw"
)
STEPS = ("generate", "evaluate", "tabulate", "all")


def run(options: Options, families: Sequence[Family] = FAMILIES) -> int:
    """Run the command; return its exit status."""
    from avits_jax.bench.columns import COLUMNS, MODES, columns_of

    check_known("benchmark", options.benchmark, COLUMNS)
    check_known("step", options.step, STEPS)
    check_known("mode", options.mode, MODES)
    for key in options.columns or ():
        check_known("column", key, columns_of(options.benchmark))
    if options.batch < 1:
        raise CliError(f"--batch must be at least 1, got {options.batch}")
    if Path(options.out) == Path():
        raise CliError("--out is empty, or the present folder; name a new one")
    check_local_folders(out=Path(options.out), profile=options.profile, log=options.log)
    kept = options.write_references
    if kept is not None and Path(kept).suffix != ".safetensors":
        raise CliError(f"--write-references must end in .safetensors, got {kept}")
    check_search(options)
    check_policy(options)
    if options.prompts is None and options.step != "tabulate":
        raise CliError("--prompts is missing: the benchmark's table of prompts")
    # Only now what takes seconds to import and load.
    from avits_jax.cli import benching

    return benching.bench(options, families)

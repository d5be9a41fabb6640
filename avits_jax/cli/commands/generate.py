"""Generate candidates for a prompt, and keep the one that the verifiers choose."""

import dataclasses
import functools
from collections.abc import Sequence
from typing import TYPE_CHECKING, cast

from avits_jax.catalogue.generators import FAMILIES, Family
from avits_jax.cli.checks import (
    RUN_MARK,
    check_local_folders,
    check_out,
    check_prompt,
    check_search,
    default_out,
)
from avits_jax.cli.model_options import STEPS, read_assignments
from avits_jax.cli.options import GenerateOptions as Options
from avits_jax.cli.policy_flags import check_policy

if TYPE_CHECKING:
    from avits_jax.cli.backend import Backend
    from avits_jax.types import Media

EXAMPLE = (
    'avits generate "a red circle bounces three times with a bell" --out runs/first'
)


def run(options: Options, families: Sequence[Family] = FAMILIES) -> int:
    """Run the command; return its exit status."""
    check_prompt(options.prompt)
    check_search(options)
    check_policy(options)
    out = options.out
    if out is None:
        out = str(default_out(options.prompt, options.seed))
    check_local_folders(profile=options.profile)
    check_out(out, options.force)
    # Only now what takes seconds to import and load.
    from avits_jax.cli import aggregators, backend, program, results, table
    from avits_jax.cli.devices import choose_devices, idle_notices
    from avits_jax.cli.labels import tell_labels
    from avits_jax.cli.policies import choose_policy
    from avits_jax.cli.progress import stage
    from avits_jax.files.copies import whole_folder
    from avits_jax.files.stores import inside

    machine = choose_devices(options)
    program.use_compilation_cache(options.compilation_cache)
    chosen = aggregators.choose_aggregator(options)
    names = backend.resolve_names(
        options.model,
        options.everyone,
        options.random_weights,
        families,
        refine=options.refine is not None,
    )
    with stage(f"Loading {options.model}", "Loaded"):
        loaded = backend.load(options, names, machine)
        policy = choose_policy(options, options, loaded.generator)
        one = program.one_prompt(
            loaded, options.prompt, chosen, policy, options, machine.devices
        )
    abilities = functools.partial(backend.abilities, names)
    idle = idle_notices(machine, policy.largest, abilities)
    tell_labels(names.drawn, [*names.notices, *idle])
    outcome = program.run_search(one)
    results.check_any_succeeded(outcome, options.verifiers)
    resolved = dataclasses.replace(
        options,
        weights=chosen.weights,
        optimizer=chosen.parameters.get("optimizer"),
        steps=_steps(options, loaded),
    )
    made = results.make_results(options.prompt, resolved, loaded, chosen, outcome)
    with stage("Writing the run folder", "Wrote the run folder"):
        with whole_folder(out, last=RUN_MARK) as folder:
            results.write_files(
                folder,
                made,
                resolved,
                outcome.found.output.best,
                cast("Media", outcome.found.output.media),  # kept: one prompt
                keep_candidates=options.keep_candidates,
            )
    table.print_candidates(made)
    table.print_refined(made)
    print(f"best clip  {inside(out, 'best.mp4')}")
    print(f"report     {inside(out, 'report.html')}")
    return 0


def _steps(options: Options, loaded: "Backend") -> int | None:
    """Return --steps as the model chose it, unless it has no such flag."""
    if STEPS in loaded.takes and STEPS not in read_assignments(options.set):
        return loaded.generator.num_steps
    return options.steps

"""Which flags belong to which search; cheap to import."""

from avits_jax.cli.errors import CliError, check_known
from avits_jax.cli.options import PolicyOptions

POLICY_FLAGS: dict[str, tuple[str, ...]] = {
    "best_of_n": (),
    "adaptive_best_of_n": ("chunk", "tolerance"),
    "evosearch": ("schedule", "populations", "num_elites", "tournament_ratio"),
    "smc": ("resample_steps", "potential", "strength", "ess_threshold"),
    "beam_search": ("branch_steps", "num_children", "lookahead"),
    "zero_order": ("num_iterations", "rate"),
    "pruned_best_of_n": ("rungs",),
    "draft_best_of_n": ("draft", "num_kept"),
}
POTENTIALS = ("difference", "max", "sum")


def check_policy(options: PolicyOptions) -> None:
    """Raise CliError for an unknown search, or a flag that it does not take."""
    check_known("search", options.search, POLICY_FLAGS)
    for name, flags in POLICY_FLAGS.items():
        for flag in flags:
            if getattr(options, flag) is not None and name != options.search:
                raise CliError(
                    f"--{flag.replace('_', '-')} is for --search {name}, "
                    f"got --search {options.search}"
                )
    if options.potential is not None:
        check_known("potential", options.potential, POTENTIALS)

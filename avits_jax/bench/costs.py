"""What the search for each clip has cost, from the run that made it."""

import os

import numpy as np
from jaxtyping import Float

from avits_jax.runs.records import read_records
from avits_jax.runs.times import read_times

EVALUATIONS, CALLS, SECONDS = "evaluations", "verifier calls", "seconds"

Costs = dict[str, Float[np.ndarray, " P"]]
"""Cost -> ``[P]`` what each prompt took, NaN where it is not known."""


def read_costs(run: str | os.PathLike[str], num_prompts: int) -> Costs:
    """Read what a run has spent on each prompt.

    Args:
        run: folder of ``avits run`` or ``avits merge``.
        num_prompts: how many prompts the table is of; later rows are left out.

    Returns:
        Network evaluations, verifier calls and seconds; verifiers that only watch are
        in the seconds alone.

    Raises:
        ValueError: the run's records are damaged.
    """
    costs = {
        name: np.full(num_prompts, np.nan) for name in (EVALUATIONS, CALLS, SECONDS)
    }
    for record in read_records(run):
        if record.row < num_prompts:
            costs[EVALUATIONS][record.row] = record.nfe
            costs[CALLS][record.row] = record.verifier_calls
    for row, seconds in read_times(run).items():
        if row < num_prompts:
            costs[SECONDS][row] = seconds
    return costs

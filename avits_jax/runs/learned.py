"""What an aggregator has learned, in numbers that a table can show."""

import numpy as np

from avits_jax.aggregation import ArwState, Moments, sigmas
from avits_jax.aggregation.moments import variance
from avits_jax.types import PyTree


def learned_sigmas(state: PyTree, num_verifiers: int) -> list[float | None]:
    """Return the deviation that each verifier's rewards are divided by.

    None where the aggregator learns none, or has not seen enough rewards to know it.

    Args:
        state: of any aggregator.
        num_verifiers: V.
    """
    if isinstance(state, ArwState):
        return [float(sigma) for sigma in np.asarray(sigmas(state))]
    if isinstance(state, Moments):
        variances = np.asarray(variance(state))
        return [float(np.sqrt(v)) if v > 0 else None for v in variances]
    return [None] * num_verifiers

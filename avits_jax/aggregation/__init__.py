"""Aggregators: rewards of several verifiers to one score per candidate."""

from avits_jax.aggregation.arw import ArwState, arw, arw_merge, sigmas
from avits_jax.aggregation.moments import Moments, merge_moments
from avits_jax.aggregation.optimizers import OPTIMIZERS
from avits_jax.aggregation.separable import contributions
from avits_jax.aggregation.simple import (
    minmax,
    rank,
    weighted,
    zscore,
    zscore_candidate,
    zscore_history,
)

__all__ = [
    "OPTIMIZERS",
    "ArwState",
    "Moments",
    "arw",
    "arw_merge",
    "contributions",
    "merge_moments",
    "minmax",
    "rank",
    "sigmas",
    "weighted",
    "zscore",
    "zscore_candidate",
    "zscore_history",
]

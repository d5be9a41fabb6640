"""Aggregators: rewards of several verifiers to one score per candidate."""

from avits_jax.aggregation.arw import ArwState, arw, sigmas
from avits_jax.aggregation.checks import LARGEST_REWARD, count_outliers
from avits_jax.aggregation.merging import arw_merge
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
    "LARGEST_REWARD",
    "OPTIMIZERS",
    "ArwState",
    "Moments",
    "arw",
    "arw_merge",
    "contributions",
    "count_outliers",
    "merge_moments",
    "minmax",
    "rank",
    "sigmas",
    "weighted",
    "zscore",
    "zscore_candidate",
    "zscore_history",
]

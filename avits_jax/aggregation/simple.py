"""Aggregators that need no learning: weighted sum, rank, min-max and z-scores.

They follow the ``score_method`` branches of kaistmm/ITS-AVGen
(``javisdit/schedulers/rf/__init__.py`` and ``reward_util.py``), the code of
"Inference-Time Scaling for Joint Audio-Video Generation" (arXiv 2606.03183), for any
number of verifiers. Unlike there, a candidate with a NaN or infinite reward, or one
beyond `LARGEST_REWARD`, is left out of every statistic and scored -inf. As there, a
column without spread (one candidate, say) passes through unscaled. A population is the
candidates of one prompt: of each, where rewards are ``[P, N, V]``, and of each shard
under `jax.vmap` or `jax.shard_map`.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from avits_jax.aggregation.checks import (
    Column,
    check_column,
    check_positive_column,
    check_weights,
)
from avits_jax.aggregation.moments import (
    AxisName,
    Moments,
    batch_moments,
    empty_moments,
    merge_moments,
    moments_over_axis,
    variance,
)
from avits_jax.aggregation.separable import Calibrate, ManyRewards, separable
from avits_jax.types import Aggregator, PyTree


def weighted(weights: Column) -> Aggregator:
    """Build the plain weighted sum ``score_i = sum_k w_k r_ik``.

    Args:
        weights: ``[V]``, finite, non-negative, not all zero; used as given, not
            normalised.

    Raises:
        TypeError: ``weights`` are not numbers.
        ValueError: ``weights`` are empty, not 1-D, not finite, negative or all zero.

    Example:
        >>> aggregator = weighted([0.5, 0.5])
        >>> state = aggregator.init(2)
        >>> scores, state = aggregator.update(jnp.ones((3, 2)), state)
    """
    return _stateless(weights, lambda rewards, valid, state: rewards)


def rank(weights: Column) -> Aggregator:
    """Build the weighted sum of ranks within the population, from 0 (worst) to 1.

    ``score_i = sum_k w_k rank_ik / (N - 1)`` over the candidates that did not fail; a
    single candidate has rank 0. Tied candidates share their mean rank (the original
    orders them arbitrarily), so scores do not depend on the candidates' order.

    Args:
        weights: ``[V]``, finite, non-negative, not all zero.

    Raises:
        TypeError: ``weights`` are not numbers.
        ValueError: ``weights`` are empty, not 1-D, not finite, negative or all zero.
    """
    return _stateless(weights, lambda rewards, valid, state: _ranks(rewards, valid))


def minmax(weights: Column) -> Aggregator:
    """Build the weighted sum of rewards stretched to [0, 1] within the population.

    ``score_i = sum_k w_k (r_ik - min_k) / (max_k - min_k)``; a constant column passes
    through unscaled.

    Args:
        weights: ``[V]``, finite, non-negative, not all zero.

    Raises:
        TypeError: ``weights`` are not numbers.
        ValueError: ``weights`` are empty, not 1-D, not finite, negative or all zero.
    """
    return _stateless(weights, lambda rewards, valid, state: _stretch(rewards, valid))


def zscore(weights: Column, mean: Column, std: Column) -> Aggregator:
    """Build the weighted sum of z-scores about fixed statistics.

    ``score_i = sum_k w_k (r_ik - mean_k) / std_k``.

    Args:
        weights: ``[V]``, finite, non-negative, not all zero.
        mean: ``[V]``, in units of each verifier's reward.
        std: ``[V]``, positive, in units of each verifier's reward.

    Raises:
        TypeError: an argument does not hold numbers.
        ValueError: an argument has another length than ``weights`` or is out of range.
    """
    column = check_weights(weights)
    center = check_column("mean", mean, column.size)
    spread = check_positive_column("std", std, column.size)
    return _stateless(
        weights, lambda rewards, valid, state: (rewards - center[None]) / spread[None]
    )


def zscore_candidate(weights: Column) -> Aggregator:
    """Build the weighted sum of z-scores about the population's own statistics.

    ``score_i = sum_k w_k (r_ik - mean_k) / std_k`` with the population standard
    deviation (divided by N); a constant column passes through unscaled.

    Args:
        weights: ``[V]``, finite, non-negative, not all zero.

    Raises:
        TypeError: ``weights`` are not numbers.
        ValueError: ``weights`` are empty, not 1-D, not finite, negative or all zero.
    """
    return _stateless(
        weights,
        lambda rewards, valid, state: _standardize(
            rewards, batch_moments(rewards, valid)
        ),
    )


def zscore_history(weights: Column, *, axis_name: AxisName | None = None) -> Aggregator:
    """Build the weighted sum of z-scores about all rewards seen so far.

    As `zscore_candidate`, with the mean and deviation of every reward passed to
    ``update``, the current ones included. The state is `Moments`, not a growing list as
    in the original; the numbers are the same.

    Args:
        weights: ``[V]``, finite, non-negative, not all zero.
        axis_name: a mapped axis whose shards learn from each other, as in `arw`.

    Raises:
        TypeError: ``weights`` are not numbers.
        ValueError: ``weights`` are empty, not 1-D, not finite, negative or all zero.
    """

    def learn(
        rewards: ManyRewards, valid: Bool[Array, "*P N"], state: Moments
    ) -> Moments:
        batch = moments_over_axis(batch_moments(rewards, valid), axis_name)
        return merge_moments(state, batch)

    return separable(
        check_weights(weights),
        init=empty_moments,
        learn=learn,
        calibrate=lambda rewards, valid, state: _standardize(rewards, state),
    )


def _stateless(weights: Column, calibrate: Calibrate) -> Aggregator:
    """Build an aggregator that looks at the present population only."""

    def learn(
        rewards: ManyRewards, valid: Bool[Array, "*P N"], state: PyTree
    ) -> PyTree:
        return state

    return separable(
        check_weights(weights),
        init=lambda num_verifiers: (),
        learn=learn,
        calibrate=calibrate,
    )


def _ranks(
    rewards: Float[Array, "N V"], valid: Bool[Array, " N"]
) -> Float[Array, "N V"]:
    """Return mid-ranks among valid rows, divided by the highest rank."""
    # Pairwise counts rather than a sort: ties are exact and N may be sharded.
    others, counted = _whole(rewards)[None], _whole(valid)[None, :, None]
    below = (others < rewards[:, None]) & counted
    equal = (others == rewards[:, None]) & counted
    num_below = jnp.sum(below, axis=1, dtype=jnp.float32)
    num_equal = jnp.sum(equal, axis=1, dtype=jnp.float32)
    highest = jnp.sum(valid, dtype=jnp.float32) - 1.0
    return (num_below + 0.5 * (num_equal - 1.0)) / jnp.maximum(highest, 1.0)


def _whole(x: Array) -> Array:
    """Return an array that no axis of an explicit mesh splits, for pairs."""
    if not any(jax.typeof(x).sharding.spec):
        return x
    return jax.sharding.reshard(x, jax.sharding.PartitionSpec(*(None,) * x.ndim))


def _stretch(
    rewards: Float[Array, "N V"], valid: Bool[Array, " N"]
) -> Float[Array, "N V"]:
    """Map each column's valid range to [0, 1]; leave constant columns alone."""
    mask = valid[:, None]
    low = jnp.min(jnp.where(mask, rewards, jnp.inf), axis=0, keepdims=True)
    high = jnp.max(jnp.where(mask, rewards, -jnp.inf), axis=0, keepdims=True)
    varies = high > low
    width = jnp.where(varies, high - low, 1.0)
    return jnp.where(varies, (rewards - low) / width, rewards)


def _standardize(rewards: Float[Array, "N V"], moments: Moments) -> Float[Array, "N V"]:
    """Return z-scores per column; leave columns without spread alone."""
    spread = variance(moments)[None]
    varies = spread > 0
    std = jnp.sqrt(jnp.where(varies, spread, 1.0))
    return jnp.where(varies, (rewards - moments.mean[None]) / std, rewards)

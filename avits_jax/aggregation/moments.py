"""Running moments of rewards: count, mean and sum of squared deviations.

Chan, Golub and LeVeque, "Updating formulae and a pairwise algorithm for computing
sample variances" (1979). They stand in for a history of rewards: same numbers, in
``O(V)`` memory, and two of them merge exactly.
"""

from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int


class Moments(NamedTuple):
    """Moments of the rewards seen so far, per verifier.

    Attributes:
        num_rewards: ``[V]`` int32, how many were seen.
        mean: ``[V]`` float32.
        m2: ``[V]`` float32, sum of squared deviations from ``mean``.
    """

    num_rewards: Int[Array, " V"]
    mean: Float[Array, " V"]
    m2: Float[Array, " V"]


def empty_moments(num_verifiers: int) -> Moments:
    """Return the moments of no rewards at all, for ``num_verifiers`` columns."""
    zeros = jnp.zeros(num_verifiers, jnp.float32)
    return Moments(jnp.zeros(num_verifiers, jnp.int32), zeros, zeros)


def batch_moments(rewards: Float[Array, "N V"], valid: Bool[Array, " N"]) -> Moments:
    """Return the moments of the valid rows of ``rewards``.

    Sums with masks, no gather, so that a sharded ``N`` costs all-reduces of ``[V]``.

    Args:
        rewards: ``[N, V]`` float32, finite.
        valid: ``[N]``, the rows that count.
    """
    mask = valid[:, None]
    count = jnp.sum(valid, dtype=jnp.int32)
    # Measured from the minimum, a constant column has exactly zero deviation.
    low = jnp.min(jnp.where(mask, rewards, jnp.inf), axis=0)
    low = jnp.where(count > 0, low, 0.0)
    total = jnp.sum(jnp.where(mask, rewards - low[None], 0.0), axis=0)
    mean = low + total / jnp.maximum(count, 1).astype(jnp.float32)
    m2 = jnp.sum(jnp.where(mask, jnp.square(rewards - mean[None]), 0.0), axis=0)
    return Moments(jnp.broadcast_to(count, mean.shape), mean, m2)


def merge_moments(a: Moments, b: Moments) -> Moments:
    """Return the moments of both sets of rewards together.

    ``m2 = m2_a + m2_b + (mean_b - mean_a)^2 n_a n_b / (n_a + n_b)``.
    """
    count = a.num_rewards + b.num_rewards
    delta = b.mean - a.mean
    mean = a.mean + delta * _ratio(b.num_rewards, count)
    return Moments(count, mean, a.m2 + b.m2 + _between(a.num_rewards, b, delta))


def remove_moments(whole: Moments, part: Moments) -> Moments:
    """Return what `merge_moments` with ``part`` would turn into ``whole``."""
    count = whole.num_rewards - part.num_rewards
    mean = whole.mean + (whole.mean - part.mean) * _ratio(part.num_rewards, count)
    m2 = whole.m2 - part.m2 - _between(count, part, mean - part.mean)
    left = count > 0
    return Moments(
        count, jnp.where(left, mean, 0.0), jnp.where(left, jnp.maximum(m2, 0.0), 0.0)
    )


def variance(moments: Moments) -> Float[Array, " V"]:
    """Return the population variance (divided by the count), 0 where none is known."""
    return moments.m2 / jnp.maximum(moments.num_rewards, 1).astype(jnp.float32)


def _between(
    num_others: Int[Array, " V"], part: Moments, delta: Float[Array, " V"]
) -> Float[Array, " V"]:
    """Return the squares that arise from two sets whose means differ by ``delta``."""
    share = _ratio(part.num_rewards, num_others + part.num_rewards)
    return jnp.square(delta) * num_others.astype(jnp.float32) * share


def _ratio(part: Int[Array, " V"], whole: Int[Array, " V"]) -> Float[Array, " V"]:
    """Divide counts, as float32; by 1 where the divisor is 0."""
    return part.astype(jnp.float32) / jnp.maximum(whole, 1).astype(jnp.float32)

"""Running moments of rewards: count, mean and sum of squared deviations.

Chan, Golub and LeVeque, "Updating formulae and a pairwise algorithm for computing
sample variances" (1979). They stand in for a history of rewards: same numbers, in
``O(V)`` memory, and two of them merge exactly.
"""

from collections.abc import Hashable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from avits_jax.aggregation.serialization import exportable

# Of a mapped axis, or of several.
AxisName = Hashable


# Arrays [V]; those of moments that were kept on the host are NumPy's.
Counts = Any
Numbers = Any


@exportable
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


def batch_moments(
    rewards: Float[Array, "*P N V"], valid: Bool[Array, "*P N"]
) -> Moments:
    """Return the moments of the valid rows of ``rewards``, over all leading axes.

    Sums with masks, no gather, so that a sharded ``N`` costs all-reduces of ``[V]``.

    Args:
        rewards: ``[..., N, V]`` float32, finite.
        valid: ``[..., N]``, the rows that count.
    """
    rows = tuple(range(valid.ndim))
    mask = valid[..., None]
    count = jnp.sum(valid, dtype=jnp.int32)

    def total(values: Float[Array, "*P N V"]) -> Float[Array, "..."]:
        return jnp.sum(jnp.where(mask, values, 0.0), axis=rows, keepdims=True)

    # Measured from the minimum, a constant column has exactly zero deviation.
    low = jnp.min(jnp.where(mask, rewards, jnp.inf), axis=rows, keepdims=True)
    low = jnp.where(count > 0, low, 0.0)
    mean = low + total(rewards - low) / jnp.maximum(count, 1).astype(jnp.float32)
    m2 = total(jnp.square(rewards - mean))
    mean, m2 = (jnp.squeeze(x, rows) for x in (mean, m2))
    return Moments(jnp.broadcast_to(count, mean.shape), mean, _bounded(m2))


def centered_moments(
    rewards: Float[Array, "*P N V"], valid: Bool[Array, "*P N"]
) -> Moments:
    """Return the moments of each prompt's deviations from its own mean.

    Their mean is 0, so that merging has no term between prompts. A single reward says
    nothing about spread, and is not counted.

    Args:
        rewards: ``[N, V]`` of one prompt or ``[P, N, V]`` of several; float32, finite.
        valid: ``[N]`` or ``[P, N]``, the rows that count.
    """
    if valid.ndim > 1:
        each = jax.vmap(centered_moments)(rewards, valid)
        total = jax.tree.map(lambda x: jnp.sum(x, axis=0, dtype=x.dtype), each)
        return total._replace(m2=_bounded(total.m2))
    moments = batch_moments(rewards, valid)
    count = jnp.where(moments.num_rewards > 1, moments.num_rewards, 0)
    return Moments(count, jnp.zeros_like(moments.mean), moments.m2)


def moments_over_axis(moments: Moments, axis_name: AxisName | None) -> Moments:
    """Merge the moments of every shard of a mapped axis; all end with the same.

    Args:
        moments: of this shard's rewards.
        axis_name: of `jax.vmap`, `jax.pmap` or `jax.shard_map`; None merges nothing.
    """
    if axis_name is None:
        return moments
    num_rewards, mean, m2 = moments
    count = jax.lax.psum(num_rewards, axis_name)
    # As above, shards that agree have exactly zero deviation.
    low = jax.lax.pmin(jnp.where(num_rewards > 0, mean, jnp.inf), axis_name)
    low = jnp.where(count > 0, low, 0.0)
    share = _ratio(num_rewards, count)
    center = low + jax.lax.psum((mean - low) * share, axis_name)
    delta = mean - center
    between = delta * num_rewards.astype(jnp.float32) * delta
    return Moments(count, center, _bounded(jax.lax.psum(m2 + between, axis_name)))


def merge_moments(a: Moments, b: Moments) -> Moments:
    """Return the moments of both sets of rewards together.

    ``m2 = m2_a + m2_b + (mean_b - mean_a)^2 n_a n_b / (n_a + n_b)``.
    """
    count = a.num_rewards + b.num_rewards
    delta = b.mean - a.mean
    mean = a.mean + delta * _ratio(b.num_rewards, count)
    m2 = a.m2 + b.m2 + _between(a.num_rewards, b, delta)
    return Moments(count, mean, _bounded(m2))


def remove_moments(whole: Moments, part: Moments) -> Moments:
    """Return what `merge_moments` with ``part`` would turn into ``whole``."""
    count = whole.num_rewards - part.num_rewards
    mean = whole.mean + (whole.mean - part.mean) * _ratio(part.num_rewards, count)
    m2 = whole.m2 - part.m2 - _between(count, part, mean - part.mean)
    left = count > 0
    return Moments(
        count, jnp.where(left, mean, 0.0), jnp.where(left, jnp.maximum(m2, 0.0), 0.0)
    )


def variance(moments: Moments) -> Numbers:
    """Return the population variance (divided by the count), 0 where none is known."""
    return moments.m2 / jnp.maximum(moments.num_rewards, 1).astype(jnp.float32)


def _between(num_others: Counts, part: Moments, delta: Numbers) -> Numbers:
    """Return the squares that arise from two sets whose means differ by ``delta``."""
    share = _ratio(part.num_rewards, num_others + part.num_rewards)
    return delta * num_others.astype(jnp.float32) * share * delta


def _bounded(m2: Numbers) -> Numbers:
    """Keep sums of squares finite: rewards near the largest add up beyond float32."""
    return jnp.minimum(m2, jnp.finfo(jnp.float32).max)


def _ratio(part: Counts, whole: Counts) -> Numbers:
    """Divide counts, as float32; by 1 where the divisor is 0."""
    return part.astype(jnp.float32) / jnp.maximum(whole, 1).astype(jnp.float32)

"""Resampling of weighted particles, in log space and with static shapes."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from avits_jax.search.keys import SearchKey

LogWeights = Float[Array, " N"]
Ancestors = Int[Array, " N"]


def normalised_weights(log_weights: LogWeights) -> Float[Array, " N"]:
    """Return weights that add up to 1; equal ones if every log weight is -inf.

    NaN counts as -inf.
    """
    log_weights = jnp.where(jnp.isnan(log_weights), -jnp.inf, log_weights)
    top = jnp.max(log_weights)
    shifted = jnp.where(jnp.isfinite(top), log_weights - top, 0)
    return jax.nn.softmax(shifted)


def effective_sample_size(log_weights: LogWeights) -> Float[Array, ""]:
    """Return ``1 / sum_n w_n^2``, between 1 and N (Kong 1992)."""
    return 1 / jnp.square(normalised_weights(log_weights)).sum()


def systematic(key: SearchKey, log_weights: LogWeights) -> Ancestors:
    """Resample with one uniform draw and N evenly spaced pointers.

    Unbiased; particle ``n`` is copied ``floor(N w_n)`` or ``ceil(N w_n)`` times
    (Kitagawa 1996).

    Args:
        key: typed key.
        log_weights: ``[N]``, any offset.

    Returns:
        ``[N]`` ancestors, in order.
    """
    num = log_weights.shape[0]
    offset = jax.random.uniform(key, (), log_weights.dtype)
    pointers = (jnp.arange(num, dtype=log_weights.dtype) + offset) / num
    return _inverse_cdf(normalised_weights(log_weights), pointers)


def multinomial(key: SearchKey, log_weights: LogWeights) -> Ancestors:
    """Resample N times independently.

    Args:
        key: typed key.
        log_weights: ``[N]``, any offset.

    Returns:
        ``[N]`` ancestors.
    """
    pointers = jax.random.uniform(key, log_weights.shape, log_weights.dtype)
    return _inverse_cdf(normalised_weights(log_weights), pointers)


def _inverse_cdf(
    weights: Float[Array, " N"], pointers: Float[Array, " N"]
) -> Ancestors:
    cumulative = jnp.cumsum(weights)
    # Rounding must not push a pointer past the last particle that has any weight.
    below = jnp.nextafter(cumulative[-1], jnp.zeros_like(cumulative[-1]))
    pointers = jnp.minimum(pointers * cumulative[-1], below)
    # Not the default method, which an explicit mesh does not take.
    found = jnp.searchsorted(cumulative, pointers, side="right", method="sort")
    return found.astype(jnp.int32)

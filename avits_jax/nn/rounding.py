"""Arithmetic in float32 that must round as another program's does."""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float


def divide(x: Float[Array, "*B"], divisor: float) -> Float[Array, "*B"]:
    """Divide by a number, also in a compiled program.

    XLA would multiply by the reciprocal of a number that is the same for all entries,
    which rounds differently; so each entry has a divisor of its own.
    """
    return x / jax.lax.optimization_barrier(jnp.full_like(x, divisor))


def float32_line(start: float, stop: float, count: int) -> Float[np.ndarray, " count"]:
    """Return evenly spaced numbers as ``torch.linspace`` rounds them.

    They are float32, counted from the nearer end.

    Args:
        start, stop: first and last number.
        count: how many, at least 1; a single one is ``start``.
    """
    first, last = np.float32(start), np.float32(stop)
    step = (last - first) / np.float32(max(count - 1, 1))
    places = np.arange(count, dtype=np.float32)
    back = np.float32(count - 1) - places
    return np.where(
        places < max(count // 2, 1), first + step * places, last - step * back
    )

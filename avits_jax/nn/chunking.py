"""Work on a long leading axis in pieces, so that peak memory is bounded."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float


def in_batches(
    function: Callable[[Array], Array], x: Float[Array, "B ..."], size: int
) -> Float[Array, "B ..."]:
    """Apply a function of a batch to ``size`` entries at a time, one after another.

    Args:
        function: ``[b, ...] -> [b, ...]`` whose rows do not depend on each other.
        x: ``[B, ...]``; a last piece of less than ``size`` is allowed.
        size: entries worked on at once, at least 1.

    Raises:
        ValueError: ``size`` is less than 1.
    """
    if size < 1:
        raise ValueError(f"size is {size}; expected at least 1")
    if len(x) <= size:
        return function(x)
    count = len(x) // size

    # Cut inside the loop: pieces as the loop's input would be a copy of all of ``x``.
    def piece(index: Array) -> Array:
        return function(jax.lax.dynamic_slice_in_dim(x, index * size, size))

    if count == 1:
        done = function(x[:size])
    else:
        done = jax.lax.map(piece, jnp.arange(count))
        done = done.reshape(count * size, *done.shape[2:])
    if len(x) % size == 0:
        return done
    return jnp.concatenate([done, function(x[count * size :])])

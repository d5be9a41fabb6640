"""Work on a long leading axis in pieces, so that peak memory is bounded.

`over_candidates` divides a population, `in_batches` one large array of anything. How
large a piece should be: `even_batch` is for pieces that cost the same each (as few as
can be, about equal), `whole_batch` is for programs that are dear to compile (no
remainder, which would be a second program).
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from avits_jax.types import PyTree


def even_batch(count: int, most: int) -> int:
    """Return the size of the fewest batches of at most `most` that are about equal."""
    return max(-(-count // max(-(-count // most), 1)), 1)


def whole_batch(count: int, most: int) -> int:
    """Return a batch of at most `most` that divides `count`, if one is over half of it.

    Without one, `most` itself (or `count`, if that is less).
    """
    most = min(most, count)
    fitting = [size for size in range(most // 2 + 1, most + 1) if count % size == 0]
    return max(fitting, default=most)


def over_candidates(
    function: Callable[[Any], Any], tree: PyTree, candidate_batch: int | None
) -> PyTree:
    """Apply `function` to all candidates, at most `candidate_batch` at a time.

    Chunks run one after another in a `jax.lax.map`. They are made as equal as can be,
    and a remainder runs as a shorter chunk of its own: no candidate is padded, so that
    results and cost are those of the whole population.

    Args:
        function: maps a tree of ``[n, ...]`` arrays to another, candidate by candidate.
        tree: tree of ``[N, ...]`` arrays.
        candidate_batch: chunk size, or None for one chunk.

    Returns:
        What ``function(tree)`` returns, up to rounding.
    """
    num = jax.tree.leaves(tree)[0].shape[0]
    if candidate_batch is None or candidate_batch >= num:
        return function(tree)
    size = even_batch(num, candidate_batch)
    whole = num // size * size

    def split(x: Array) -> Array:
        # Chunk c holds candidates c, c + chunks, ...: over a mesh that divides a chunk
        # evenly, every candidate stays on its device.
        return jnp.moveaxis(x[:whole].reshape(size, -1, *x.shape[1:]), 1, 0)

    def join(x: Array) -> Array:
        return jnp.moveaxis(x, 0, 1).reshape(whole, *x.shape[2:])

    mapped = jax.lax.map(function, jax.tree.map(split, tree))
    flat = jax.tree.map(join, mapped)
    if whole == num:
        return flat
    rest = function(jax.tree.map(lambda x: x[whole:], tree))
    return jax.tree.map(lambda a, b: jnp.concatenate([a, b]), flat, rest)


def in_batches(
    function: Callable[[Array], Array], x: Float[Array, "B ..."], size: int
) -> Float[Array, "B ..."]:
    """Apply a function of a batch to `size` entries at a time, one after another.

    Unlike `over_candidates` it cuts inside the loop, for one array whose copy would
    not fit beside it, and knows nothing of devices.

    Args:
        function: ``[b, ...] -> [b, ...]`` whose rows do not depend on each other.
        x: ``[B, ...]``; a last piece of less than `size` is allowed.
        size: entries worked on at once, at least 1.

    Returns:
        What ``function(x)`` returns, up to rounding.

    Raises:
        ValueError: `size` is less than 1.
    """
    if size < 1:
        raise ValueError(f"size must be at least 1, got {size}")
    if len(x) <= size:
        return function(x)
    count = len(x) // size

    # Pieces as the loop's input would be a copy of all of `x`.
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

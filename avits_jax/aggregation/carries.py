"""First carries of loops, also inside `jax.shard_map` and on explicit meshes."""

import functools

import jax
import jax.numpy as jnp

from avits_jax.types import PyTree


def alike(carry: PyTree, others: PyTree = ()) -> PyTree:
    """Return ``carry`` with leaves that all depend on all of them.

    A loop's carry must have one type before and after its body. Inside `jax.shard_map`
    the type tells which mapped axes an array varies over, on an explicit mesh how it
    lies there; constants and replicated arrays have another than what is computed from
    them. A sum with a zero that is computed from all has the right one.

    Args:
        carry: tree of arrays, the first carry of a loop.
        others: what else the body reads.
    """
    leaves = jax.tree.leaves((carry, others))
    odd = functools.reduce(jnp.logical_or, [jnp.any(leaf != leaf) for leaf in leaves])
    zero = odd & jnp.asarray(False)

    def add(leaf: jax.Array) -> jax.Array:
        if jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key):
            return leaf  # has no sum
        return leaf + zero.astype(leaf.dtype)

    return jax.tree.map(add, carry)

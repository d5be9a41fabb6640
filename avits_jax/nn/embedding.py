"""Lookup tables whose results have the dtype of their weights."""

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float, Int


class Embedding(nnx.Module):
    """A vector per id.

    `flax.nnx.Embed` keeps the dtype that it was built with, so that a network built in
    float32 and run with bfloat16 weights would go on in float32.
    """

    def __init__(self, count: int, width: int, *, rngs: nnx.Rngs):
        values = jax.random.normal(rngs.params(), (count, width)) / width**0.5
        self.embedding = nnx.Param(values)

    def __call__(self, ids: Int[Array, "*B"]) -> Float[Array, "*B D"]:
        """Look up rows of the table; ids out of range give the nearest row."""
        return jnp.take(self.embedding[...], ids, axis=0, mode="clip")

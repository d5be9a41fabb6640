"""Batch normalisation with the statistics of training."""

import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float


class FixedBatchNorm(nnx.Module):
    """Normalise the last axis by stored means and variances, then scale and shift.

    Batch norm of a network that is no longer trained; the result for one item does not
    depend on the rest of the batch.
    """

    def __init__(self, width: int, epsilon: float = 1e-5):
        self.epsilon = epsilon
        self.mean = nnx.Param(jnp.zeros(width))
        self.variance = nnx.Param(jnp.ones(width))
        self.scale = nnx.Param(jnp.ones(width))
        self.bias = nnx.Param(jnp.zeros(width))

    def __call__(self, x: Float[Array, "*B D"]) -> Float[Array, "*B D"]:
        spread = jnp.sqrt(self.variance[...] + self.epsilon)
        return (x - self.mean[...]) / spread * self.scale[...] + self.bias[...]

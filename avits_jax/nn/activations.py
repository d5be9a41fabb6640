"""Activations that JAX does not have."""

import jax
from jaxtyping import Array, Float


def quick_gelu(x: Float[Array, "*B"]) -> Float[Array, "*B"]:
    """``x sigmoid(1.702 x)``, OpenAI CLIP's cheap stand-in for GELU."""
    return x * jax.nn.sigmoid(1.702 * x)

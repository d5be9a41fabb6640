"""Activations that JAX does not have."""

import jax
from jaxtyping import Array, Float


def quick_gelu(x: Float[Array, "*B"]) -> Float[Array, "*B"]:
    """Return ``x sigmoid(1.702 x)``, OpenAI CLIP's cheap approximation of GELU."""
    return x * jax.nn.sigmoid(1.702 * x)

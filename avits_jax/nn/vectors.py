"""Vectors brought to a length."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float


def unit(x: Float[Array, "*B D"]) -> Float[Array, "*B D"]:
    """Scale vectors to length 1 in float32; a length below 1e-12 counts as 1e-12."""
    x = x.astype(jnp.float32)
    return x / jnp.maximum(jnp.linalg.norm(x, axis=-1, keepdims=True), 1e-12)


def rms_normalise(x: Float[Array, "*B D"], epsilon: float) -> Float[Array, "*B D"]:
    """Divide by the root of the mean square, in and to float32."""
    x = x.astype(jnp.float32)
    return x * jax.lax.rsqrt(jnp.mean(jnp.square(x), -1, keepdims=True) + epsilon)

"""Rotary positions: pairs (i, i + D/2) of a head turn by position times frequency.

Upstream: huggingface/transformers,
src/transformers/models/qwen2_vl/modeling_qwen2_vl.py.
"""

from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float


def rotary_frequencies(width: int, theta: float) -> Float[np.ndarray, " {width}//2"]:
    """Return ``theta ** (-2 i / width)`` for i = 0 ... width / 2 - 1, in float32."""
    powers = np.arange(0, width, 2, dtype=np.float32) / np.float32(width)
    return (np.float32(1) / np.float32(theta) ** powers).astype(np.float32)


def rotate(
    x: Float[Array, "*B L H D"], angles: Float[np.ndarray, "L D/2"]
) -> Float[Array, "*B L H D"]:
    """Turn queries or keys by their positions' angles, in float32.

    Su et al., arXiv 2104.09864, in the layout of GPT-NeoX: the first half of a head
    holds one coordinate of each pair, the second half the other.
    """
    return turn(x, np.cos(angles)[:, None], np.sin(angles)[:, None])


def turn(
    x: Float[Array, "*B L H D"],
    cos: Float[Any, "*#C L #H D/2"],
    sin: Float[Any, "*#C L #H D/2"],
) -> Float[Array, "*B L H D"]:
    """Turn queries or keys by angles of which cosines and sines are given.

    As `rotate`, but heads and batch rows may turn differently.
    """
    first, second = jnp.split(x.astype(jnp.float32), 2, -1)
    turned = (first * cos - second * sin, second * cos + first * sin)
    return jnp.concatenate(turned, -1).astype(x.dtype)

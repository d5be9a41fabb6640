"""Channels to frames and pixels."""

import jax.numpy as jnp
from jaxtyping import Array, Float


def pixel_shuffle(
    x: Float[Array, "B F H W C"], time: int, space: int
) -> Float[Array, "B {time}*F {space}*H {space}*W D"]:
    """Unpack channels ``(D, time, space, space)`` into more frames, rows and columns.

    Args:
        x: of ``D * time * space**2`` channels, D varying slowest.
        time: frames made of one.
        space: rows made of one, and columns.
    """
    batch, frames, height, width, _ = x.shape
    x = x.reshape(batch, frames, height, width, -1, time, space, space)
    x = jnp.transpose(x, (0, 1, 5, 2, 6, 3, 7, 4))
    return x.reshape(batch, time * frames, space * height, space * width, -1)

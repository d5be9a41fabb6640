"""Frames as I3D reads them, in-graph.

- ``default``: pixels in [-1, 1], the short side at 224, centre cropped, as the common
  FVD code does;
- ``bench`` (JavisBench): the long side at 224 between black bars, and half the range,
  since pictures in [0, 1] are taken for ones in [-1, 1]: whites are 1, blacks and bars
  -0.004.

Upstream: JavisVerse/JavisDiT at b505b37, eval/javisbench/src/fvd/fvd.py
(preprocess_single), utils.py (ResizeAndPad) and dataset.py (FVDFADDataset).
"""

import math

import jax.numpy as jnp
from jaxtyping import Array, Float

from avits_jax.metrics.i3d.config import SIDE
from avits_jax.nn.resize import crop, resize, triangle
from avits_jax.nn.rounding import divide


def cropped(levels: Float[Array, "*B H W 3"]) -> Float[Array, "*B 224 224 3"]:
    """Bring grey levels in [0, 255] to [-1, 1], the short side to 224, centre cropped.

    Bilinear without antialias.
    """
    height, width = levels.shape[-3:-1]
    if height < width:
        size = (SIDE, math.ceil(width * (SIDE / height)))
    else:
        size = (math.ceil(height * (SIDE / width)), SIDE)
    top, left = (size[0] - SIDE) // 2, (size[1] - SIDE) // 2
    pictures = resize(divide(levels, 255.0), size)
    return 2.0 * (crop(pictures, top, left, (SIDE, SIDE)) - 0.5)


def letterbox(
    pictures: Float[Array, "*B H W 3"], *, antialias: bool = True
) -> Float[Array, "*B 224 224 3"]:
    """Bring the long side to 224, bilinear, and fill the square with zeros.

    The short side is rounded down; an odd row or column goes to the bottom or right.

    Args:
        pictures: of any range.
        antialias: average what shrinks, as torchvision does since 0.17.
    """
    height, width = pictures.shape[-3:-1]
    if height > width:
        size = (SIDE, int(SIDE * width / height))
    else:
        size = (int(SIDE * height / width), SIDE)
    if size != (height, width):
        pictures = resize(pictures, size, triangle, antialias=antialias)
    margins = [((SIDE - side) // 2, SIDE - side - (SIDE - side) // 2) for side in size]
    batch = [(0, 0)] * (pictures.ndim - 3)
    return jnp.pad(pictures, [*batch, *margins, (0, 0)])


def half_range(
    levels: Float[Array, "*B H W 3"], *, antialias: bool = True
) -> Float[Array, "*B 224 224 3"]:
    """Bring grey levels in [0, 255] to [127, 255], after `letterbox`.

    The result is whole, rounded down, as the benchmark keeps frames in uint8.
    """
    pictures = letterbox(divide(levels, 255.0), antialias=antialias)
    return jnp.floor(jnp.clip((pictures + 1.0) * 127.5, 0.0, 255.0))


def bench(levels: Float[Array, "*B H W 3"]) -> Float[Array, "*B 224 224 3"]:
    """Prepare grey levels in [0, 255] as JavisBench does."""
    return cropped(half_range(levels))

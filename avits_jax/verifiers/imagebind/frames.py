"""Pixels for ImageBind's vision tower, in-graph, in the three modes.

- ``default``: as the benchmark, on unrounded pixels: bicubic with antialias, aspect
  kept, centre crop.
- ``bench`` (JavisBench): the same through 8-bit levels, as PIL does it.
- ``its`` (the search server): bilinear without antialias; whole frames squashed to a
  square, so a wide clip is seen narrow.
"""

import math
from fractions import Fraction

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from avits_jax.nn import resize as rs
from avits_jax.nn.pictures import normalise
from avits_jax.verifiers.timing import clip_starts

CLIP_SECONDS = 2
NUM_CLIPS = 5
_NUM_CROPS = 3


def default_frames(
    video: Float[Array, "*B H W 3"], side: int
) -> Float[Array, "*B side side 3"]:
    """Short side to ``side`` by antialiased bicubic, centre crop, normalise.

    ``video`` is in [0, 1]; the overshoot of the bicubic kernel is clipped.
    """
    height, width = video.shape[-3:-1]
    size = rs.short_side(height, width, side)
    resized = rs.resize(video, size, rs.cubic_pil, antialias=True)
    return normalise(255.0 * jnp.clip(rs.centre_crop(resized, side), 0.0, 1.0))


def bench_frames(
    levels: Float[Array, "*B H W 3"], side: int
) -> Float[Array, "*B side side 3"]:
    """`default_frames` of whole grey levels in [0, 255], rounded after each axis."""
    height, width = levels.shape[-3:-1]
    size = rs.short_side(height, width, side)
    return normalise(rs.centre_crop(rs.resize_levels(levels, size), side))


def its_frames(
    levels: Float[Array, "*B H W 3"], side: int
) -> Float[Array, "*B side side 3"]:
    """Grey levels in [0, 255] squashed to a square, bilinear without antialias."""
    return normalise(rs.resize(levels, (side, side)))


def its_pairs(num_frames: int) -> np.ndarray:
    """Frames ``[5, 2]`` of the server's clips: five spread starts, two neighbours each.

    Raises:
        ValueError: if there are fewer than two frames.
    """
    if num_frames < 2:
        raise ValueError(f"num_frames must be at least 2, got {num_frames}")
    starts = np.floor(np.linspace(0, num_frames - 2, NUM_CLIPS)).astype(int)
    return np.stack([starts, starts + 1], 1)


def bench_pairs(num_frames: int, fps: float) -> np.ndarray:
    """Frames ``[5, 2]`` of the benchmark's clips: first and last of five 2 s clips."""
    rate = Fraction(fps)
    pairs = []
    for start in clip_starts(num_frames / rate, CLIP_SECONDS, NUM_CLIPS):
        stop = min(math.ceil((start + CLIP_SECONDS) * rate), num_frames)
        pairs.append((math.ceil(start * rate), stop - 1))
    return np.array(pairs)


def global_clips(
    levels: Float[Array, "*B F H W 3"], pairs: np.ndarray, side: int
) -> Float[Array, "*B 15 2 side side 3"]:
    """Pairs of frames seen through three crops along the long side.

    Grey levels in [0, 255]; short side to ``side``, bilinear without antialias. Clips
    come first, crops second: the order in which the embeddings are averaged.
    """
    height, width = levels.shape[-3:-1]
    height, width = rs.short_side(height, width, side)
    chosen = levels[..., pairs, :, :, :]
    resized = normalise(rs.resize(chosen, (height, width)))
    spare = max(height, width) - side
    crops = [
        rs.crop(
            resized,
            offset if height > width else 0,
            0 if height > width else offset,
            (side, side),
        )
        for offset in (0, math.ceil(spare / 2), spare)
    ]
    stacked = jnp.stack(crops, -5)
    count = len(pairs) * _NUM_CROPS
    return stacked.reshape(*levels.shape[:-4], count, *stacked.shape[-4:])

"""Pixels for ImageBind's vision encoder, in-graph, in the three modes.

- ``default``: as the benchmark, on unrounded pixels: bicubic with antialias, aspect
  kept, centre crop.
- ``bench`` (JavisBench): the same through 8-bit levels, as PIL does it.
- ``its`` (the search server): bilinear without antialias; whole frames squashed to a
  square, so a wide clip is seen narrow.

Upstream: facebookresearch/ImageBind, imagebind/data.py; ``bench`` as in
JavisVerse/JavisDiT at b505b37, eval/javisbench/src/dataset.py (ImageBindDataset,
AVScoreDataset).
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
    """Cut pictures in [0, 1] to squares as `nn.resize.square` does, and normalise."""
    return normalise(255.0 * rs.square(video, side))


def bench_frames(
    levels: Float[Array, "*B H W 3"], side: int
) -> Float[Array, "*B side side 3"]:
    """Apply `default_frames` to whole levels in [0, 255], rounded after each axis."""
    return normalise(rs.square_levels(levels, side))


def its_frames(
    levels: Float[Array, "*B H W 3"], side: int
) -> Float[Array, "*B side side 3"]:
    """Squash grey levels in [0, 255] to a square, bilinear without antialias."""
    return normalise(rs.resize(levels, (side, side)))


def its_pairs(num_frames: int) -> np.ndarray:
    """Return frames ``[5, 2]`` of the server's clips: five spread pairs of neighbours.

    A single frame (where the server gives up) is its own neighbour, as a still picture
    is for the vision encoder.
    """
    starts = np.linspace(0, max(num_frames - 2, 0), NUM_CLIPS).astype(int)
    return np.stack([starts, np.minimum(starts + 1, num_frames - 1)], 1)


def bench_pairs(num_frames: int, fps: float) -> np.ndarray:
    """Return frames ``[5, 2]`` of the benchmark's clips: ends of five 2 s clips.

    A clip that holds one frame has it twice.
    """
    rate = Fraction(fps)
    pairs = []
    for start in clip_starts(num_frames / rate, CLIP_SECONDS, NUM_CLIPS):
        stop = min(math.ceil((start + CLIP_SECONDS) * rate), num_frames)
        pairs.append((min(math.ceil(start * rate), stop - 1), stop - 1))
    return np.array(pairs)


def still_frames(num_frames: int, fps: float, frame_rate: float) -> np.ndarray:
    """Return frames ``[n]`` that show a clip at a lower rate, the last of each instant.

    Args:
        num_frames: frames of the clip.
        fps: its frames per second.
        frame_rate: frames per second that are wanted; more than ``fps`` gives them all.

    Raises:
        ValueError: if ``frame_rate`` is not positive.
    """
    if not frame_rate > 0:
        raise ValueError(f"frame_rate must be positive, got {frame_rate}")
    if frame_rate >= fps:
        return np.arange(num_frames)
    count = math.ceil(num_frames * frame_rate / fps - 1e-6)
    times = np.arange(max(count, 1)) / frame_rate
    return np.minimum(np.floor(times * fps + 1e-6).astype(int), num_frames - 1)


def global_clips(
    levels: Float[Array, "*B F H W 3"], pairs: np.ndarray, side: int
) -> Float[Array, "*B K 2 side side 3"]:
    """Crop pairs of frames three times along the long side.

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

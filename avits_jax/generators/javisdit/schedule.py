"""JavisDiT's noise levels: evenly spaced, then warped for large and long clips.

The warp is that of Open-Sora and Stable Diffusion 3 (arXiv 2403.03206, eq. 23): more
tokens need more noise to be hidden as well.

Upstream: JavisVerse/JavisDiT at b505b37, javisdit/schedulers/rf/rectified_flow.py
(timestep_transform) and javisdit/schedulers/rf/__init__.py (RFLOW).
"""

from typing import Literal, get_args

import ml_dtypes
import numpy as np
from jaxtyping import Float

Precision = Literal["float32", "reference"]
ShortClips = Literal["mended", "reference"]
NUM_TIMESTEPS = 1000
_BASE_PIXELS = 512 * 512
# Video frames of a temporal chunk of the autoencoder, and its latent frames.
_CHUNK, _CHUNK_LATENTS = 17, 5


def warp_ratio(
    height: float,
    width: float,
    num_frames: int,
    precision: Precision = "float32",
    short_clips: ShortClips = "mended",
) -> np.generic:
    """Return how far noise levels are pushed up: ``sqrt(pixels / 512^2) sqrt(f)``.

    ``f`` is ``num_frames // 17 * 5``, and 1 for less than 17 frames.

    Args:
        height: of the clip, pixels.
        width: of the clip, pixels.
        num_frames: of the clip.
        precision: "reference" rounds every step to bfloat16, as the original does when
            it runs in that format (3.421875 for 3.42059 at 240p, 4 s).
        short_clips: "reference" makes ``f`` 0 for 2 to 16 frames, as the original does,
            which leaves no noise level but the first.

    Returns:
        A float32 or bfloat16 number.

    Raises:
        ValueError: unknown precision.
    """
    if precision not in get_args(Precision):
        raise ValueError(
            f"precision is {precision!r}; accepted are {get_args(Precision)}"
        )
    kind = np.float32 if precision == "float32" else ml_dtypes.bfloat16
    pixels = kind(height) * kind(width)
    frames = kind(1)
    short = num_frames < _CHUNK if short_clips == "mended" else num_frames == 1
    if not short:
        frames = kind(kind(num_frames) // kind(_CHUNK)) * kind(_CHUNK_LATENTS)
    return np.sqrt(pixels / kind(_BASE_PIXELS)) * np.sqrt(frames)


def warp(
    timesteps: Float[np.ndarray, " T"], ratio: np.generic
) -> Float[np.ndarray, " T"]:
    """Return ``r u / (1 + (r - 1) u)`` of ``u = t / 1000``, times 1000, in float32."""
    u = np.asarray(timesteps, np.float32) / np.float32(NUM_TIMESTEPS)
    less = np.float32(np.subtract(ratio, type(ratio)(1)))
    warped = np.float32(ratio) * u / (np.float32(1) + less * u)
    return warped * np.float32(NUM_TIMESTEPS)


def timesteps(
    num_steps: int,
    height: float,
    width: float,
    num_frames: int,
    precision: Precision = "float32",
    short_clips: ShortClips = "mended",
) -> Float[np.ndarray, " T"]:
    """Return a run's noise levels in [0, 1000], falling; the last step leads to 0.

    The arguments after ``num_steps`` are those of `warp_ratio`.

    Raises:
        ValueError: ``num_steps`` is less than 1, or the precision is unknown.
    """
    if num_steps < 1:
        raise ValueError(f"num_steps is {num_steps}; expected at least 1")
    even = (1.0 - np.arange(num_steps) / num_steps) * NUM_TIMESTEPS
    ratio = warp_ratio(height, width, num_frames, precision, short_clips)
    levels = warp(even, ratio)
    # Rounding may lift the first one over the level of pure noise.
    return np.minimum(levels, np.float32(NUM_TIMESTEPS))


def step_sizes(levels: Float[np.ndarray, " T"]) -> Float[np.ndarray, " T"]:
    """Return differences of neighbouring noise levels over 1000; they sum to 1."""
    following = np.append(levels[1:], np.float32(0))
    return (levels - following) / np.float32(NUM_TIMESTEPS)

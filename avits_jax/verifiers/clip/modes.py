"""How CLIP's verifier reads a clip, by mode.

- `DEFAULT`: at most 48 frames spread over the whole clip, its first and last among
  them, each once (all of a shorter clip); unrounded pixels, so that scores have
  gradients.
- `BENCH` (JavisBench, the published metric): 48 frames, those of a shorter clip
  repeated; pixels through 8-bit levels as PIL has them; red and blue swapped, since
  the reader turns them round and the transform does so again. On a GPU the original
  runs in float16, which moves its scores by about 1e-3 a frame; that is not repeated.

Upstream: openai/CLIP, clip/clip.py (_transform); ``bench`` as in JavisVerse/JavisDiT at
b505b37, eval/javisbench/src/metrics.py (calc_clip_score) and
eval/javisbench/src/utils.py (read_video_cv2).
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from jaxtyping import Array, Float, Int

from avits_jax.nn.pictures import normalise, to_levels
from avits_jax.nn.resize import square, square_levels
from avits_jax.verifiers.timing import spaced_frames

NUM_FRAMES = 48


class Mode(NamedTuple):
    """One way to read clips.

    Attributes:
        frames: ``(frames of the clip, frames asked for) -> [F]`` those that are read.
        pictures: ``(video in [0, 1], side) -> [..., side, side, 3]`` normalised.
    """

    frames: Callable[[int, int], Int[np.ndarray, " F"]]
    pictures: Callable[[Float[Array, "*B H W 3"], int], Float[Array, "*B side side 3"]]


def default_frames(num_frames: int, count: int) -> Int[np.ndarray, " F"]:
    """Return at most ``count`` different frames, evenly spread from first to last."""
    return spaced_frames(num_frames, min(count, num_frames))


def bench_frames(num_frames: int, count: int) -> Int[np.ndarray, " 48"]:
    """Return 48 frames, whatever is asked for; a shorter clip repeats some."""
    del count
    return spaced_frames(num_frames, NUM_FRAMES)


def default_pictures(
    video: Float[Array, "*B H W 3"], side: int
) -> Float[Array, "*B side side 3"]:
    """Cut pictures to squares: short side resized, centre cropped, unrounded."""
    return normalise(255.0 * square(video, side))


def bench_pictures(
    video: Float[Array, "*B H W 3"], side: int
) -> Float[Array, "*B side side 3"]:
    """Cut pictures to squares through 8-bit levels, and swap red and blue."""
    return normalise(square_levels(to_levels(video), side)[..., ::-1])


DEFAULT = Mode(default_frames, default_pictures)
BENCH = Mode(bench_frames, bench_pictures)
MODES = {"default": DEFAULT, "bench": BENCH}

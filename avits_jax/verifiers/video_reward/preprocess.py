"""Frames of a clip as VideoReward's vision encoder reads them.

Upstream: KwaiVGI/VideoAlign, vision_process.py (smart_nframes, smart_resize,
fetch_video), and huggingface/transformers,
src/transformers/models/qwen2_vl/image_processing_qwen2_vl.py.
"""

import math

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from avits_jax.nn.pictures import normalise
from avits_jax.nn.resize import cubic_pil, resize
from avits_jax.verifiers.timing import spaced_frames
from avits_jax.verifiers.video_reward.config import VisionConfig

SAMPLE_FPS = 2.0
MIN_FRAMES = 4
MAX_FRAMES = 768
MIN_PIXELS = 128 * 28 * 28
MAX_PIXELS = 448 * 448
MODES = ("default", "bench", "its")
_MAX_ASPECT = 200
_SERVER_FRAMES = 16


def sample_frames(
    num_frames: int, fps: float, sample_fps: float = SAMPLE_FPS
) -> Int[np.ndarray, " n"]:
    """Return the frames that the published model reads: two per second, even.

    Args:
        num_frames: frames of the clip.
        fps: its frames per second.
        sample_fps: frames per second to look at.

    Returns:
        At least 4 indices, as far as there are frames, and at most 768, spread over the
        whole clip, first and last frame among them. A clip of one frame, which the
        original refuses, is shown twice.
    """
    if num_frames < 2:
        return np.zeros(2, np.int32)
    most = min(num_frames, MAX_FRAMES) // 2 * 2
    wanted = min(max(num_frames / fps * sample_fps, MIN_FRAMES), most)
    count = min(round(wanted / 2) * 2, num_frames)
    return spaced_frames(num_frames, count)


def server_frames(num_frames: int) -> Int[np.ndarray, " 4"]:
    """Return the frames that the search server reads: only four.

    It spreads 16 frames over the clip (a shorter one is repeated), takes them for one
    second of video, and of that second keeps four.
    """
    if num_frames >= _SERVER_FRAMES:
        chosen = np.floor(np.linspace(0, num_frames - 1, _SERVER_FRAMES))
    else:
        chosen = np.arange(_SERVER_FRAMES) % num_frames
    return chosen.astype(np.int32)[spaced_frames(_SERVER_FRAMES, MIN_FRAMES)]


def chosen_frames(
    num_frames: int, fps: float, mode: str = "default"
) -> Int[np.ndarray, " n"]:
    """Return the frames read in a mode: `server_frames` in ``its``, or `sample_frames`.

    Raises:
        ValueError: unknown mode.
    """
    if mode not in MODES:
        raise ValueError(f"mode must be one of {MODES}, got {mode!r}")
    return (
        server_frames(num_frames) if mode == "its" else sample_frames(num_frames, fps)
    )


def frame_size(
    height: int,
    width: int,
    *,
    factor: int = 28,
    min_pixels: int = MIN_PIXELS,
    max_pixels: int = MAX_PIXELS,
) -> tuple[int, int]:
    """Return height and width that frames are resized to.

    Multiples of ``factor`` near the frame's own, with a number of pixels within bounds
    and about the same aspect.

    Raises:
        ValueError: one side is more than 200 times the other.
    """
    if max(height, width) > _MAX_ASPECT * min(height, width):
        raise ValueError(
            f"video_reward needs frames with an aspect of at most {_MAX_ASPECT}, "
            f"got {height}x{width}"
        )
    tall, wide = (max(factor, round(n / factor) * factor) for n in (height, width))
    if tall * wide > max_pixels:
        scale = math.sqrt(height * width / max_pixels)
        tall = math.floor(height / scale / factor) * factor
        wide = math.floor(width / scale / factor) * factor
    elif tall * wide < min_pixels:
        scale = math.sqrt(min_pixels / (height * width))
        tall = math.ceil(height * scale / factor) * factor
        wide = math.ceil(width * scale / factor) * factor
    return tall, wide


def resize_frames(
    levels: Float[Array, "*B H W 3"], factor: int = 28
) -> Float[Array, "*B h w 3"]:
    """Resize grey levels in [0, 255] to `frame_size`, rounded to whole levels."""
    size = frame_size(*levels.shape[-3:-1], factor=factor)
    resized = resize(levels, size, cubic_pil, antialias=True)
    return jnp.clip(jnp.round(resized), 0.0, 255.0)


def cut_patches(
    pixels: Float[Array, "B F H W 3"], config: VisionConfig
) -> Float[Array, "B T P K"]:
    """Cut normalised frames to patches of frame pairs, in merge order.

    Each patch is flattened as (channel, frame, y, x); four patches that will be one
    token lie together. An odd last frame is paired with itself.
    """
    patch, merge, pair = (
        config.patch_size,
        config.merge_size,
        config.temporal_patch_size,
    )
    missing = -pixels.shape[1] % pair
    last = jnp.repeat(pixels[:, -1:], missing, axis=1)
    pixels = jnp.concatenate([pixels, last], 1)
    batch, frames, height, width, _ = pixels.shape
    rows, columns = height // patch // merge, width // patch // merge
    x = pixels.reshape(
        batch, frames // pair, pair, rows, merge, patch, columns, merge, patch, 3
    )
    x = x.transpose(0, 1, 3, 6, 4, 7, 9, 2, 5, 8)
    return x.reshape(batch, frames // pair, rows * columns * merge**2, -1)


def grid_of(height: int, width: int, config: VisionConfig) -> tuple[int, int]:
    """Return rows and columns of patches of frames that are ``height`` x ``width``."""
    return height // config.patch_size, width // config.patch_size


def prepare_frames(
    levels: Float[Array, "B F H W 3"], config: VisionConfig
) -> tuple[Float[Array, "B T P K"], int, int]:
    """Turn the chosen frames' grey levels into patches, rows and columns."""
    resized = resize_frames(levels, config.token_side)
    height, width = resized.shape[2:4]
    rows, columns = grid_of(height, width, config)
    return cut_patches(normalise(resized), config), rows, columns

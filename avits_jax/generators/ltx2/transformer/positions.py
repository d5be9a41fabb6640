"""Where tokens lie in time and space, and how latents become tokens.

A token of the picture is a latent pixel, in the order of frames, rows and columns; a
token of the sound is a latent time step, its features channel by channel.

Source: huggingface/diffusers 0.42.1, models/transformers/transformer_ltx2.py
(LTX2AudioVideoRotaryPosEmbed) and pipelines/ltx2/pipeline_ltx2.py.
"""

import ml_dtypes
import numpy as np
from jaxtyping import Array, Float

TIME, SPACE = 8, 32
"""Frames of a latent frame, of which the first has one; pixels of a latent pixel."""
# Hops of the spectrogram: in a latent of the sound, of which the first has one, and in
# a second.
_HOPS, _HOP_RATE = 4, 100


def video_positions(
    grid: tuple[int, int, int], fps: float, *, rounded: bool = False
) -> Float[np.ndarray, "T 3 2"]:
    """Return where the picture's tokens begin and end.

    Args:
        grid: latent frames, rows and columns.
        fps: frames per second.
        rounded: round to bfloat16, as ltx-pipelines 1.0.0 does when it runs in that
            format; 1.2.0 and diffusers do not, and it moves frames by milliseconds.

    Returns:
        Seconds, row and column in pixels; float32.
    """
    frame, row, column = (
        index.reshape(-1) for index in np.indices(grid, dtype=np.float32)
    )
    time = _from_one(np.stack([frame, frame + 1], -1), TIME) / np.float32(fps)
    space = (np.stack([index, index + 1], -1) * SPACE for index in (row, column))
    bounds = np.stack([time, *space], 1)
    if rounded:
        bounds = bounds.astype(ml_dtypes.bfloat16).astype(np.float32)
    return bounds


def audio_positions(count: int) -> Float[np.ndarray, "T 1 2"]:
    """Return the seconds at which ``count`` tokens of the sound begin and end."""
    index = np.arange(count)
    hops = _from_one(np.stack([index, index + 1], -1), _HOPS)
    return (hops / _HOP_RATE).astype(np.float32)[:, None]


def audio_count(num_frames: int, fps: float) -> int:
    """Return how many tokens the sound of a clip has: 25 in a second."""
    return round(num_frames / fps * (_HOP_RATE / _HOPS))


def _from_one(edges: np.ndarray, step: int) -> np.ndarray:
    """Scale edges of steps by their length; the first step has a length of one."""
    return np.maximum(edges * step + 1 - step, 0)


def pack_video(latents: Float[Array, "*N F H W C"]) -> Float[Array, "*N F*H*W C"]:
    """Flatten latent frames to tokens."""
    return latents.reshape(*latents.shape[:-4], -1, latents.shape[-1])


def unpack_video(
    tokens: Float[Array, "*N T C"], grid: tuple[int, int, int]
) -> Float[Array, "*N F H W C"]:
    """Undo `pack_video`; tokens behind those of the grid are cut off."""
    kept = tokens[..., : grid[0] * grid[1] * grid[2], :]
    return kept.reshape(*kept.shape[:-2], *grid, kept.shape[-1])


def pack_audio(latents: Float[Array, "*N T M C"]) -> Float[Array, "*N T C*M"]:
    """Flatten the bins M and channels C of the sound's latents, channel by channel."""
    return latents.swapaxes(-1, -2).reshape(*latents.shape[:-2], -1)


def unpack_audio(
    tokens: Float[Array, "*N T F"], num_bins: int
) -> Float[Array, "*N T {num_bins} C"]:
    """Undo `pack_audio`."""
    return tokens.reshape(*tokens.shape[:-1], -1, num_bins).swapaxes(-1, -2)

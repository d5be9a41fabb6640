"""Frames padded for GPUs, whose matrix products want rows in eights.

In half precision XLA pads the operands of cuBLAS products to multiples of 8, each for
itself, and cuts the pads off their results. Tokens put behind every frame's own once,
before all levels, spare it that. Nothing depends on them: they attend like others, but
are keys to none within frames and in the exchange, and along time only to each other.
"""

import math
from collections.abc import Callable

import jax
import jax.numpy as jnp

from avits_jax.generators.javisdit.attention import Tokens
from avits_jax.generators.javisdit.blocks import AudioTokens

Streams = tuple[Tokens, AudioTokens]
_ROWS = 8


def tokens_behind(shape: tuple[int, ...], dtype: jnp.dtype, backend: str) -> int:
    """Tell how many tokens to put behind each frame's in programs for a backend.

    Args:
        shape: ``[B, T, S, D]`` of the video's tokens.
        dtype: of the matrix products.
        backend: as `jax.default_backend` names it: "gpu", "cpu" or "tpu".

    Returns:
        The fewest that make the rows of products, ``B T S``, a multiple of 8; 0 where
        none are wanted.
    """
    half = dtype in (jnp.bfloat16, jnp.float16)
    if backend != "gpu" or not half:
        return 0
    batch, frames, tokens = shape[:3]
    return -tokens % (_ROWS // math.gcd(_ROWS, batch * frames))


def run_padded(
    run: Callable[[Streams, int | None], Streams], streams: Streams
) -> Streams:
    """Run with padded frames where there is a GPU and it spares that work.

    There programs for other platforms are padded as well, which changes no number. A
    branch for each platform would hide the scan over levels from `parallel.gathering`,
    which gathers shared weights one level at a time.

    Args:
        run: ``(streams, seen) -> streams``, of the same shapes; of a frame of the video
            only the first ``seen`` tokens may be looked at, or all.
        streams: tokens of video and audio.

    Returns:
        The streams behind ``run``, without the pads.
    """
    video, audio = streams
    behind = tokens_behind(video.shape, video.dtype, jax.default_backend())
    if not behind:
        return run(streams, None)
    tokens = video.shape[2]
    wide = jnp.pad(video, [(0, 0), (0, 0), (0, behind), (0, 0)])
    video, audio = run((wide, audio), tokens)
    return video[:, :, :tokens], audio

"""Tables of rotary positions, made once for all steps and blocks.

Phases reach 16,000 radians, so that their rounding to float32 is part of the network:
they are formed on the host as the original forms them. What the program holds of them
is one small table per axis, whose rows it looks up.

Source: huggingface/diffusers 0.42.1, models/transformers/transformer_ltx2.py
(LTX2AudioVideoRotaryPosEmbed, with ``rope_type="split"`` and double precision).
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from avits_jax.generators.ltx2.streams import Streams
from avits_jax.generators.ltx2.transformer.config import TransformerConfig


class Rotary(NamedTuple):
    """Turns of a stream's tokens, of pairs of halves of every head; float32.

    Attributes:
        cos: ``[T, H, D/2]``.
        sin: the same shape.
    """

    cos: Float[Array, "T H P"]
    sin: Float[Array, "T H P"]


class Tables(NamedTuple):
    """Turns of both streams' tokens.

    Attributes:
        within: `Streams` of `Rotary`, in attention of a stream to itself: all axes.
        across: the same in attention between the streams: time alone.
    """

    within: Any
    across: Any


def rotary_tables(
    config: TransformerConfig,
    video_positions: Float[np.ndarray, "T A 2"],
    audio_positions: Float[np.ndarray, "S B 2"],
) -> Tables:
    """Return the turns of all tokens.

    Args:
        config: sizes of the transformer.
        video_positions: where the picture's tokens begin and end along every axis of
            ``config.video.limits``, as `positions.video_positions`; known while a
            program is traced.
        audio_positions: the same of the sound.

    Raises:
        ValueError: positions have another number of axes than the stream's limits.
    """
    video, audio = config.video, config.audio
    for name, each, stream in (
        ("video_positions", video_positions, video),
        ("audio_positions", audio_positions, audio),
    ):
        if each.shape[1] != len(stream.limits):
            raise ValueError(
                f"{name} has shape {each.shape}; expected [tokens, "
                f"{len(stream.limits)}, 2]"
            )
    longest = (max(video.limits[0], audio.limits[0]),)
    theta, width = config.theta, audio.width
    return Tables(
        within=Streams(
            _rotary(video_positions, video.limits, video.width, video.heads, theta),
            _rotary(audio_positions, audio.limits, audio.width, audio.heads, theta),
        ),
        across=Streams(
            _rotary(video_positions[:, :1], longest, width, video.heads, theta),
            _rotary(audio_positions[:, :1], longest, width, audio.heads, theta),
        ),
    )


def _rotary(
    positions: np.ndarray,
    limits: Sequence[float],
    width: int,
    heads: int,
    theta: float,
) -> Rotary:
    """Return the turns of one stream in heads that are ``width`` together.

    A frequency has all its axes beside each other. Pairs that are left over stand
    still, and come first.
    """
    num_axes = len(limits)
    count = width // (2 * num_axes)
    powers = theta ** np.linspace(0.0, 1.0, count)
    frequencies = (powers * (np.pi / 2)).astype(np.float32)
    middle = (positions[..., 0] + positions[..., 1]) / np.float32(2)
    places = middle / np.asarray(limits, np.float32) * np.float32(2) - np.float32(1)
    axes = [_waves(places[:, axis], frequencies) for axis in range(num_axes)]
    rest = width // 2 - count * num_axes

    def joined(waves: Sequence[Array], still: float) -> Array:
        turns = jnp.stack(waves, -1).reshape(len(positions), -1)
        turns = jnp.pad(turns, ((0, 0), (rest, 0)), constant_values=still)
        return turns.reshape(len(positions), heads, -1)

    cos, sin = zip(*axes, strict=True)
    return Rotary(joined(cos, 1.0), joined(sin, 0.0))


def _waves(places: np.ndarray, frequencies: np.ndarray) -> tuple[Array, Array]:
    """Return cosine and sine of places times frequencies, ``[T, n]``."""
    distinct, which = np.unique(places, return_inverse=True)
    phases = (distinct[:, None] * frequencies).astype(np.float64)
    waves = [jnp.asarray(wave(phases).astype(np.float32)) for wave in (np.cos, np.sin)]
    # Else the compiler looks the rows up itself, and programs hold 150 MB of them.
    cos, sin = jax.lax.optimization_barrier(waves)
    return cos[which], sin[which]

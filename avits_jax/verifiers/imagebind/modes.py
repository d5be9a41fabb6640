"""How ImageBind's verifiers read a clip, by mode.

- `DEFAULT`: every frame, the aspect kept, the true rates, all channels, the whole
  sound, no clip disturbed by another.
- `BENCH` (JavisBench, the published metric): pixels through 8-bit levels, the first
  channel alone, clips that never reach the end of the sound, means removed in place.
- `ITS` (the search server): the range guessed from the clip's extremes, frames squashed
  to a square, 24 fps and 16 kHz assumed whatever the clip has, only the first 2 s of
  the whole sound heard, means removed in place.
"""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from avits_jax.nn.pictures import to_levels
from avits_jax.nn.resample import resample
from avits_jax.verifiers.imagebind import frames, sound
from avits_jax.verifiers.its import its_levels, its_samples

ITS_FPS = 24.0

Video = Float[Array, "N F H W 3"]
Audio = Float[Array, "N C S"]


class Mode(NamedTuple):
    """One way to read clips.

    Attributes:
        levels: video in [0, 1] to grey levels in [0, 255].
        frames: ``(levels, side) -> [N, F, side, side, 3]`` normalised.
        pairs: ``(num_frames, fps) -> [5, 2]`` frames of the clips behind AVIB.
        audio: ``(audio, sample_rate) -> [N, C, S]`` at 16 kHz.
        pictures: ``(audio, mels, frames) -> [N, K, M, T]`` of the whole sound.
        in_place: whether windows hear the means that earlier windows removed.
        fps: frames per second taken for granted; None for the clip's own.
    """

    levels: Callable[[Video], Video]
    frames: Callable[[Video, int], Float[Array, "N F side side 3"]]
    pairs: Callable[[int, float], np.ndarray]
    audio: Callable[[Audio, int], Audio]
    pictures: Callable[[Audio, int, int], Float[Array, "N K M T"]]
    in_place: bool
    fps: float | None = None


def _mono(audio: Audio, sample_rate: int) -> Float[Array, "N 1 S"]:
    mixed = jnp.mean(audio, 1, keepdims=True)
    return resample(mixed, sample_rate, sound.SAMPLE_RATE)


def _its_audio(audio: Audio, sample_rate: int) -> Audio:
    """The server divides its 16-bit samples by 32768 for windows as well."""
    return its_samples(audio) / sound.INT16


def _its_pictures(audio: Audio, mels: int, length: int) -> Float[Array, "N 1 M T"]:
    return sound.its_picture(audio * sound.INT16, mels, length)[:, None]


def _pictures(
    audio: Audio, mels: int, length: int, *, bench: bool
) -> Float[Array, "N 3 M T"]:
    spans = (sound.bench_spans if bench else sound.full_spans)(audio.shape[-1])
    return sound.mel_pictures(audio, spans, mels, length, in_place=bench)


def _default_frames(levels: Video, side: int) -> Float[Array, "N F side side 3"]:
    return frames.default_frames(levels / 255.0, side)


DEFAULT = Mode(
    levels=lambda video: 255.0 * video,
    frames=_default_frames,
    pairs=frames.bench_pairs,
    audio=_mono,
    pictures=partial(_pictures, bench=False),
    in_place=False,
)
BENCH = Mode(
    levels=to_levels,
    frames=frames.bench_frames,
    pairs=frames.bench_pairs,
    audio=lambda audio, rate: resample(audio, rate, sound.SAMPLE_RATE),
    pictures=partial(_pictures, bench=True),
    in_place=True,
)
ITS = Mode(
    levels=its_levels,
    frames=frames.its_frames,
    pairs=lambda num_frames, fps: frames.its_pairs(num_frames),
    audio=_its_audio,
    pictures=_its_pictures,
    in_place=True,
    fps=ITS_FPS,
)

"""How ImageBind's verifiers read a clip, by mode.

- `DEFAULT`: every frame, the aspect kept, the true rates, all channels, the whole
  sound, no clip disturbed by another.
- `BENCH` (JavisBench, the published metric): pixels through 8-bit levels, the first
  channel alone, clips that never reach the end of the sound, means removed in place, a
  text that is too long without its end token.
- `ITS` (the search server): the range guessed from the clip's extremes, frames squashed
  to a square, 24 fps and 16 kHz assumed whatever the clip has, only the first 2 s of
  the whole sound heard, means removed in place.
"""

from collections.abc import Callable
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


class Heard(NamedTuple):
    """Log-mel pictures of a sound, each of them once.

    Attributes:
        pictures: all that must be embedded.
        whole: which of them stand for the whole sound; their embeddings are averaged.
        windows: which of them each window of JavisScore hears.
    """

    pictures: Float[Array, "N K M T"]
    whole: list[int]
    windows: list[int]


class Mode(NamedTuple):
    """One way to read clips.

    Attributes:
        levels: video in [0, 1] to grey levels in [0, 255].
        frames: ``(levels, side) -> [N, F, side, side, 3]`` normalised.
        pairs: ``(num_frames, fps) -> [5, 2]`` frames of the clips behind AVIB.
        audio: ``(audio, sample_rate) -> [N, C, S]`` at 16 kHz.
        hear: ``(audio, windows, mels, frames) -> Heard`` of the whole sound and of
            the windows, which are 2 s each; there may be none.
        least_sound: seconds of sound without which nothing can be heard.
        fps: frames per second taken for granted; None for the clip's own.
        keep_end: whether a text that is too long keeps its end token; without it all
            such texts are embedded alike, as the original does.
    """

    levels: Callable[[Video], Video]
    frames: Callable[[Video, int], Float[Array, "N F side side 3"]]
    pairs: Callable[[int, float], np.ndarray]
    audio: Callable[[Audio, int], Audio]
    hear: Callable[[Audio, sound.Spans, int, int], Heard]
    least_sound: float
    fps: float | None = None
    keep_end: bool = True


def _mono(audio: Audio, sample_rate: int) -> Float[Array, "N 1 s"]:
    mixed = jnp.mean(audio, 1, keepdims=True)
    return resample(mixed, sample_rate, sound.SAMPLE_RATE)


def _its_audio(audio: Audio, sample_rate: int) -> Audio:
    """Divide the server's 16-bit samples by 32768, as it does for windows as well."""
    return its_samples(audio) / sound.INT16


def _hear(audio: Audio, windows: sound.Spans, mels: int, length: int) -> Heard:
    """Read a clip of the whole sound that is also a window once."""
    whole = sound.full_spans(audio.shape[-1])
    spans = list(dict.fromkeys([*whole, *windows]))
    pictures = sound.mel_pictures(audio, spans, mels, length)
    return Heard(pictures, [*map(spans.index, whole)], [*map(spans.index, windows)])


def _bench_hear(audio: Audio, windows: sound.Spans, mels: int, length: int) -> Heard:
    spans = sound.bench_spans(audio.shape[-1])
    # All are the same clip where the sound is not longer than one.
    spans = spans[:1] if len(set(spans)) == 1 else spans
    whole = sound.mel_pictures(audio, spans, mels, length, in_place=True)
    return _after(whole, audio, windows, mels, length)


def _its_hear(audio: Audio, windows: sound.Spans, mels: int, length: int) -> Heard:
    whole = sound.its_picture(audio * sound.INT16, mels, length)[:, None]
    return _after(whole, audio, windows, mels, length)


def _after(
    whole: Float[Array, "N K M T"],
    audio: Audio,
    windows: sound.Spans,
    mels: int,
    length: int,
) -> Heard:
    """Return pictures of the whole sound, then of windows whose means go in place."""
    count = whole.shape[1]
    if windows:
        cut = sound.mel_pictures(audio, windows, mels, length, in_place=True)
        whole = jnp.concatenate([whole, cut], 1)
    return Heard(whole, [*range(count)], [*range(count, count + len(windows))])


def _default_frames(levels: Video, side: int) -> Float[Array, "N F side side 3"]:
    return frames.default_frames(levels / 255.0, side)


DEFAULT = Mode(
    levels=lambda video: 255.0 * video,
    frames=_default_frames,
    pairs=frames.bench_pairs,
    audio=_mono,
    hear=_hear,
    least_sound=sound.FRAME_SECONDS,
)
BENCH = Mode(
    levels=to_levels,
    frames=frames.bench_frames,
    pairs=frames.bench_pairs,
    audio=lambda audio, rate: resample(audio, rate, sound.SAMPLE_RATE),
    hear=_bench_hear,
    least_sound=sound.FRAME_SECONDS,
    keep_end=False,
)
ITS = Mode(
    levels=its_levels,
    frames=frames.its_frames,
    pairs=lambda num_frames, fps: frames.its_pairs(num_frames),
    audio=_its_audio,
    hear=_its_hear,
    least_sound=0.0,
    fps=ITS_FPS,
    keep_end=False,
)
MODES = {"default": DEFAULT, "bench": BENCH, "its": ITS}

"""How sounds are read: mono at 16 kHz, at the true rate or as JavisBench does.

In mode ``bench`` a sound that is not at 16 kHz is not resampled: every sample is
multiplied by one tap of the resampler's filter (0.66 at 24 kHz) and the rate is called
16 kHz, so that 24 kHz plays 1.5 times too slowly. Of the result the first 4 s are
heard; a shorter one is filled up with silence, which counts as sound.

Upstream: JavisVerse/JavisDiT at b505b37, eval/javisbench/src/utils.py
(read_audio_torchaudio); the true rate as in facebookresearch/audiobox-aesthetics,
src/audiobox_aesthetics/infer.py (audio_resample_mono).
"""

from collections.abc import Callable

import jax.numpy as jnp
from jaxtyping import Array, Float

from avits_jax.nn.resample import resample
from avits_jax.verifiers.audiobox.config import SAMPLE_RATE

Wave = Callable[[Float[Array, "N C S"], int, float | None], Float[Array, "N s"]]

BENCH_SECONDS = 4.0
"""How much of a sound JavisBench's published command hears."""


def true_wave(
    audio: Float[Array, "N C S"], sample_rate: int, seconds: float | None = None
) -> Float[Array, "N s"]:
    """Make the sound mono at 16 kHz; of a long one only the first seconds.

    Args:
        audio: ``[N, C, S]`` in [-1, 1].
        sample_rate: Hz of the audio.
        seconds: the most that is heard; None for all.
    """
    wave = resample(jnp.mean(audio, 1), sample_rate, SAMPLE_RATE)
    return wave if seconds is None else wave[:, : int(SAMPLE_RATE * seconds)]


def bench_wave(
    audio: Float[Array, "N C S"],
    sample_rate: int,
    seconds: float | None = BENCH_SECONDS,
) -> Float[Array, "N s"]:
    """Read a sound as JavisBench does, at whatever rate as 16 kHz.

    Args:
        audio: ``[N, C, S]`` in [-1, 1].
        sample_rate: Hz of the audio.
        seconds: length of the result at 16 kHz; None leaves it as long as it is.
    """
    # There the resampler runs along an axis of length 1. Of a rate below 16 kHz it
    # makes several numbers of each sample, which are then mixed as if channels.
    taps = resample(jnp.ones((1,)), sample_rate, SAMPLE_RATE)
    wave = jnp.mean(audio, 1) * jnp.mean(taps)
    if seconds is None:
        return wave
    length = int(SAMPLE_RATE * seconds)
    missing = max(length - wave.shape[-1], 0)
    return jnp.pad(wave[:, :length], ((0, 0), (0, missing)))


WAVES: dict[str, tuple[Wave, float | None]] = {
    "default": (true_wave, None),
    "bench": (bench_wave, BENCH_SECONDS),
}
"""By mode: how a sound is read, and how much of it a verifier hears."""

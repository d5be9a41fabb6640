"""Log-mel spectrograms for CLAP, in-graph: 10 s at 48 kHz, in decibels.

The modes differ in the wave that goes in and in how a short wave is filled up:

- ``default``: resampled to 48 kHz, repeated whole as often as it fits (`repeat_pad`),
  as the encoder was trained;
- ``bench`` (JavisBench): resampled, but followed by silence (`zero_pad`), since an
  option meant for the tokenizer reaches the feature extractor;
- ``its`` (the search server): 16-bit samples at 16 kHz read as if they were scaled and
  at 48 kHz, followed by silence: 90 dB too loud, pitch and tempo times three.

A wave beyond 10 s is heard in its middle; the original crops it at random.

Upstream: huggingface/transformers,
src/transformers/models/clap/feature_extraction_clap.py (ClapFeatureExtractor);
``bench`` as in JavisVerse/JavisDiT at b505b37, eval/javisbench/src/metrics.py
(calc_clap_score).
"""

import jax.numpy as jnp
from jaxtyping import Array, Float

from avits_jax.nn.fbank import mel_decibels
from avits_jax.nn.resample import resample
from avits_jax.verifiers.its import its_samples

SAMPLE_RATE = 48_000
MAX_SAMPLES = 10 * SAMPLE_RATE
_N_FFT, _HOP = 1024, 480
_LOW, _HIGH = 50.0, 14_000.0


def middle(
    audio: Float[Array, "*B S"], length: int = MAX_SAMPLES
) -> Float[Array, "*B s"]:
    """Cut at most ``length`` samples from the middle."""
    start = max((audio.shape[-1] - length) // 2, 0)
    return audio[..., start : start + length]


def zero_pad(
    audio: Float[Array, "*B S"], length: int = MAX_SAMPLES
) -> Float[Array, "*B length"]:
    """Fill the wave up with silence."""
    audio = middle(audio, length)
    missing = length - audio.shape[-1]
    return jnp.pad(audio, [(0, 0)] * (audio.ndim - 1) + [(0, missing)])


def repeat_pad(
    audio: Float[Array, "*B S"], length: int = MAX_SAMPLES
) -> Float[Array, "*B length"]:
    """Repeat the whole wave as often as it fits, then fill up with silence.

    Raises:
        ValueError: if there are no samples.
    """
    if not audio.shape[-1]:
        raise ValueError("audio must hold at least one sample, got none")
    count = max(length // audio.shape[-1], 1)
    return zero_pad(jnp.concatenate([audio] * count, -1), length)


def log_mel(audio: Float[Array, "*B S"], num_mels: int = 64) -> Float[Array, "*B T M"]:
    """Return a 48 kHz wave's Slaney log-mel in dB, ``1 + S // 480`` frames."""
    return mel_decibels(
        audio,
        _N_FFT,
        _HOP,
        sample_rate=SAMPLE_RATE,
        num_mels=num_mels,
        low=_LOW,
        high=_HIGH,
    )


def default_wave(
    audio: Float[Array, "N C S"], sample_rate: int
) -> Float[Array, "N length"]:
    """Make the sound mono at 48 kHz, repeated to 10 s."""
    return repeat_pad(resample(jnp.mean(audio, 1), sample_rate, SAMPLE_RATE))


def bench_wave(
    audio: Float[Array, "N C S"], sample_rate: int
) -> Float[Array, "N length"]:
    """Make the sound mono at 48 kHz, followed by silence up to 10 s."""
    return zero_pad(resample(jnp.mean(audio, 1), sample_rate, SAMPLE_RATE))


def its_wave(
    audio: Float[Array, "N C S"], sample_rate: int
) -> Float[Array, "N length"]:
    """Take 16-bit samples at whatever rate as 48 kHz, followed by silence."""
    del sample_rate  # the server ignores it
    return zero_pad(jnp.mean(its_samples(audio), 1))

"""Onsets of a sound, in-graph: spectral flux and peak picking as in librosa 0.11.

Upstream: librosa/librosa, librosa/onset.py (onset_strength, onset_detect) and
librosa/util/utils.py (peak_pick).
"""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from avits_jax.nn.fbank import decibels, slaney_filters, stft_power

N_FFT = 2048
HOP = 512
NUM_MELS = 128
_TOP_DB = 80.0
_LAG = 1
# Reach in seconds of the windows of the peak picker, and its threshold.
_BEFORE_MAX, _BEFORE_MEAN, _AFTER_MEAN, _WAIT = 0.03, 0.10, 0.10, 0.03
_DELTA = 0.07


def mel_power(audio: Float[Array, " S"], sample_rate: int) -> Float[Array, "T M"]:
    """Return the Slaney mel power, ``1 + S // 512`` frames, silence past the ends."""
    power = stft_power(audio, N_FFT, HOP, pad_mode="constant")
    filters = slaney_filters(NUM_MELS, N_FFT, sample_rate, 0.0, sample_rate / 2)
    return jnp.matmul(power, filters, precision=jax.lax.Precision.HIGHEST)


def onset_strength(audio: Float[Array, " S"], sample_rate: int) -> Float[Array, " T"]:
    """Return the mean rise in decibels from frame to frame, over mel bands.

    Levels more than 80 dB below the loudest count as equal. The curve is delayed by
    half a spectrogram window, so that a rise is seen where the window is centred.
    """
    level = decibels(mel_power(audio, sample_rate))
    level = jnp.maximum(level, jnp.max(level) - _TOP_DB)
    rise = jnp.mean(jnp.maximum(level[_LAG:] - level[:-_LAG], 0.0), -1)
    delayed = jnp.pad(rise, (_LAG + N_FFT // (2 * HOP), 0))
    return delayed[: len(level)]


def _window(length: int, before: int, after: int) -> np.ndarray:
    """Mark where the column lies in ``[row - before, row + after)``."""
    offset = np.arange(length)[None] - np.arange(length)[:, None]
    return (offset >= -before) & (offset < after)


def pick_peaks(strength: Float[Array, " T"], sample_rate: int) -> Bool[Array, " T"]:
    """Mark frames that are the largest of their past 30 ms and stand out by 0.07.

    ``strength`` is first brought to [0, 1]; a flat curve has no peak. "Stand out" is
    against the mean of 100 ms on both sides. After a peak 30 ms are skipped. Reaches
    are rounded down to whole frames.
    """

    def reach(seconds: float) -> int:
        return int(seconds * sample_rate // HOP)

    length = len(strength)
    curve = strength - jnp.min(strength)
    curve = curve / (jnp.max(curve) + jnp.finfo(curve.dtype).tiny)
    past = _window(length, reach(_BEFORE_MAX), 1)
    around = _window(length, reach(_BEFORE_MEAN), reach(_AFTER_MEAN) + 1)
    largest = curve == jnp.max(jnp.where(past, curve, -jnp.inf), 1)
    mean = jnp.sum(jnp.where(around, curve, 0.0), 1) / around.sum(1)
    candidates = largest & (curve >= mean + _DELTA)
    wait = reach(_WAIT)

    def step(blocked, candidate):
        peak = candidate & (blocked == 0)
        return jnp.where(peak, wait, jnp.maximum(blocked - 1, 0)), peak

    return jax.lax.scan(step, jnp.zeros((), jnp.int32), candidates)[1]


def onset_times(num_frames: int, sample_rate: int) -> Float[np.ndarray, " T"]:
    """Return the time of every frame in seconds."""
    return np.arange(num_frames) * HOP / sample_rate

"""Frames and sound of a clip as CAVP's encoders read them.

A clip counts in whole seconds; the rest of it is not looked at.

Upstream: JavisVerse/JavisDiT at b505b37, eval/javisbench/src/wav2spec.py and utils.py
(Extract_CAVP_Features); the spectrogram is of librosa/librosa.
"""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from avits_jax.metrics.cavp.config import FPS, SAMPLE_RATE, SIDE
from avits_jax.nn.fbank import slaney_filters, stft_power
from avits_jax.nn.resize import resize_levels, triangle
from avits_jax.verifiers.desync.preprocess import constant_rate

_N_FFT, _HOP = 1024, 250
_LOW, _HIGH = 125.0, 7600.0
_FLOOR = 1e-5


def whole_seconds(num_frames: int, fps: float) -> int:
    """Return how many seconds of a clip count.

    Raises:
        ValueError: fps is not positive, or the clip is shorter than a second.
    """
    if not fps > 0:
        raise ValueError(f"fps must be positive, got {fps}")
    # 23.976 Hz times its own length may fall short of a whole number by rounding.
    seconds = int(num_frames / fps + 1e-6)
    if seconds < 1:
        raise ValueError(
            f"cavp: a clip must last at least 1 s, got {num_frames} frames at {fps} Hz"
        )
    return seconds


def quarter_frames(num_frames: int, fps: float) -> Int[np.ndarray, " T"]:
    """Return the frames that show a clip's whole seconds at 4 frames a second.

    Args:
        num_frames: frames of the clip.
        fps: of the clip, constant.

    Raises:
        ValueError: as `whole_seconds`.
    """
    count = FPS * whole_seconds(num_frames, fps)
    return constant_rate(num_frames, fps, FPS)[:count]


def squashed(levels: Float[Array, "*B H W 3"]) -> Float[Array, "*B 224 224 3"]:
    """Bring grey levels in [0, 255] to squares in [0, 1], whatever their aspect.

    Bilinear with antialias, rounded to whole levels after each axis, as PIL does.
    """
    return resize_levels(levels, (SIDE, SIDE), triangle) / 255.0


def spectrogram(
    sound: Float[Array, "*B S"], seconds: int, num_mels: int = 128
) -> Float[Array, "*B M {64*seconds}"]:
    """Return a Slaney mel spectrogram in [0, 1] on a scale of decibels.

    Args:
        sound: mono at 16 kHz in [-1, 1]; cut, or followed by silence.
        seconds: whole seconds that count.
        num_mels: bands.
    """
    length = seconds * SAMPLE_RATE
    sound = sound[..., :length]
    missing = length - sound.shape[-1]
    sound = jnp.pad(sound, [(0, 0)] * (sound.ndim - 1) + [(0, missing)])
    # One sample less, so that there is no column for the very end.
    power = stft_power(sound[..., :-1], _N_FFT, _HOP, pad_mode="constant")
    filters = slaney_filters(num_mels, _N_FFT, SAMPLE_RATE, _LOW, _HIGH)
    highest = jax.lax.Precision.HIGHEST
    mel = jnp.matmul(jnp.sqrt(power), filters, precision=highest)
    decibels = 20.0 * jnp.log10(jnp.maximum(mel, _FLOOR))
    return jnp.swapaxes(jnp.clip((decibels + 80.0) / 100.0, 0.0, 1.0), -1, -2)

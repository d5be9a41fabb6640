"""Frames and sound of a clip as Synchformer's encoders read them.

Upstream: JavisVerse/JavisDiT at b505b37, eval/javisbench/src/dataset.py
(DeSyncDataset).
"""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from avits_jax.nn.audio import mel_filters
from avits_jax.nn.fbank import framed, periodic_hann, stft_power
from avits_jax.nn.pictures import normalise
from avits_jax.nn.resize import square_levels
from avits_jax.verifiers.desync.config import FPS, SAMPLE_RATE

SEGMENT_SAMPLES = 10_240
SAMPLE_STEP = 5120
FRAME_STEP = 8
_N_FFT, _WINDOW, _HOP = 1024, 400, 160
_MEL_MEAN, _MEL_STD = -4.2677393, 4.5689974
_HALF = (0.5, 0.5, 0.5)


def constant_rate(
    num_frames: int, fps: float, rate: float = FPS
) -> Int[np.ndarray, " n"]:
    """Return the frames that show a clip at ``rate`` frames per second.

    Each goes to the nearest slot, of several to one slot the last is shown, and a slot
    without one repeats the frame before: FFmpeg's fps filter.
    """
    slots = np.floor(np.arange(num_frames + 1) * (rate / fps) + 0.5).astype(np.int64)
    times = np.arange(max(int(slots[-1]), 1))
    return np.searchsorted(slots[:-1], times, side="right").astype(np.int32) - 1


def prepare_frames(
    levels: Float[Array, "*B H W 3"], side: int
) -> Float[Array, "*B side side 3"]:
    """Turn grey levels in [0, 255] into square frames in [-1, 1].

    The short side is resized to ``side`` (bicubic, antialiased, rounded to whole
    levels after each axis) and the centre is kept.
    """
    return normalise(square_levels(levels, side), _HALF, _HALF)


def frame_segments(
    frames: Float[Array, "B F H W C"], num_frames: int
) -> Float[Array, "B S T H W C"]:
    """Cut frames at 25 per second into segments of 0.64 s, one every 0.32 s."""
    count = 1 + (frames.shape[1] - num_frames) // FRAME_STEP
    index = np.arange(count)[:, None] * FRAME_STEP + np.arange(num_frames)
    return frames[:, index]


def mel_table(num_mels: int) -> Float[np.ndarray, "K M"]:
    """Return triangles on the HTK mel scale from 0 to 8000 Hz."""
    return mel_filters(num_mels, _N_FFT, SAMPLE_RATE, low=0.0)


def log_mel(
    audio: Float[Array, "*B S"], num_mels: int, num_frames: int
) -> Float[Array, "*B M T"]:
    """Return a normalised log-mel spectrogram, a column every 10 ms.

    Columns that are short of ``num_frames`` are 0 before the normalisation, which is
    louder than silence: the model was trained that way.

    Args:
        audio: a segment at 16 kHz in [-1, 1].
        num_mels: bands.
        num_frames: columns.
    """
    window = periodic_hann(_WINDOW)
    power = stft_power(audio, _N_FFT, _HOP, pad_mode="reflect", window=window)
    highest = jax.lax.Precision.HIGHEST
    mel = jnp.log(jnp.matmul(power, mel_table(num_mels), precision=highest) + 1e-6)
    mel = jnp.swapaxes(mel, -1, -2)[..., :num_frames]
    missing = num_frames - mel.shape[-1]
    mel = jnp.pad(mel, [(0, 0)] * (mel.ndim - 1) + [(0, missing)])
    return (mel - _MEL_MEAN) / (2 * _MEL_STD)


def to_mono(audio: Float[Array, "B *C S"]) -> Float[Array, "B S"]:
    """Average the channels, where there are any."""
    return audio if audio.ndim == 2 else jnp.mean(audio, 1)


def audio_segments(audio: Float[Array, "B S"]) -> Float[Array, "B N n"]:
    """Cut 16 kHz audio into segments of 0.64 s, one every 0.32 s."""
    return framed(audio, SEGMENT_SAMPLES, SAMPLE_STEP)


def fit_length(x: Float[Array, "B L *rest"], length: int) -> Float[Array, "B n *rest"]:
    """Cut the time axis, or fill it with zeros: black frames, silence."""
    x = x[:, :length]
    missing = length - x.shape[1]
    return jnp.pad(x, [(0, 0), (0, missing)] + [(0, 0)] * (x.ndim - 2))

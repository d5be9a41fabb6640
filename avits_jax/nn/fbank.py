"""Log-mel front ends of the public audio encoders, in-graph.

`kaldi_fbank` serves encoders trained on Kaldi features (ImageBind, AST, Synchformer);
`stft_power` with `slaney_filters` serves those trained on librosa-like ones (CLAP,
Cnn14, onset detection).

Upstream: pytorch/audio, src/torchaudio/compliance/kaldi.py (fbank), and
librosa/librosa, librosa/filters.py (mel).
"""

from functools import lru_cache

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

_HIGHEST = jax.lax.Precision.HIGHEST
_KALDI_FLOOR = float(np.finfo(np.float32).eps)


def framed(
    audio: Float[Array, "*B S"], length: int, hop: int
) -> Float[Array, "*B T length"]:
    """Cut overlapping frames that lie wholly inside the signal."""
    count = 1 + (audio.shape[-1] - length) // hop
    index = np.arange(count)[:, None] * hop + np.arange(length)[None]
    return audio[..., index]


def _power(frames: Float[Array, "*B T n"], n_fft: int) -> Float[Array, "*B T K"]:
    spectrum = jnp.fft.rfft(frames, n=n_fft)
    return jnp.real(spectrum) ** 2 + jnp.imag(spectrum) ** 2


@lru_cache(maxsize=8)
def kaldi_filters(
    num_mels: int, n_fft: int, sample_rate: int, low: float, high: float
) -> Float[np.ndarray, "K M"]:
    """Return Kaldi's triangles, straight on the mel axis, not normalised.

    There are n_fft / 2 bins, without the one at half the rate.
    """

    def mel(hertz):
        return 1127.0 * np.log(1.0 + np.asarray(hertz, np.float64) / 700.0)

    edges = np.linspace(mel(low), mel(high), num_mels + 2)
    bins = mel(np.arange(n_fft // 2) * sample_rate / n_fft)[:, None]
    rise = (bins - edges[:-2]) / (edges[1:-1] - edges[:-2])
    fall = (edges[2:] - bins) / (edges[2:] - edges[1:-1])
    return np.maximum(0.0, np.minimum(rise, fall)).astype(np.float32)


def kaldi_fbank(
    audio: Float[Array, "*B S"],
    *,
    sample_rate: int,
    num_mels: int,
    low: float = 20.0,
    high: float | None = None,
) -> Float[Array, "*B T M"]:
    """Return log-mel energies as Kaldi does with a Hann window and no dither.

    Frames of 25 ms every 10 ms, wholly inside the signal; each loses its mean, is
    pre-emphasised by 0.97 (its first sample against itself), windowed by a symmetric
    Hann window and padded to a power of two. The log is natural, floored at 1.19e-7.

    Args:
        audio: waveforms in [-1, 1].
        sample_rate: Hz.
        num_mels: filters.
        low, high: Hz where the lowest filter begins and the highest ends; ``high=None``
            is half the sampling rate.

    Raises:
        ValueError: if the signal is shorter than one frame.
    """
    length, hop = sample_rate * 25 // 1000, sample_rate // 100
    if audio.shape[-1] < length:
        raise ValueError(
            f"audio must hold at least {length} samples (25 ms), got {audio.shape[-1]}"
        )
    n_fft = 1 << (length - 1).bit_length()
    frames = framed(audio, length, hop)
    frames = frames - jnp.mean(frames, -1, keepdims=True)
    before = jnp.concatenate([frames[..., :1], frames[..., :-1]], -1)
    frames = (frames - 0.97 * before) * np.hanning(length).astype(np.float32)
    power = _power(frames, n_fft)[..., :-1]
    filters = kaldi_filters(num_mels, n_fft, sample_rate, low, high or sample_rate / 2)
    energy = jnp.matmul(power, filters, precision=_HIGHEST)
    return jnp.log(jnp.maximum(energy, _KALDI_FLOOR))


def periodic_hann(length: int) -> Float[np.ndarray, " length"]:
    """Return a Hann window that would begin again at its next sample; float32."""
    angle = 2 * np.pi * np.arange(length) / length
    return (0.5 - 0.5 * np.cos(angle)).astype(np.float32)


def windowed_power(
    audio: Float[Array, "*B S"], window: Float[np.ndarray, " W"], n_fft: int, hop: int
) -> Float[Array, "*B T K"]:
    """Return the power spectrum of every frame that lies wholly inside the signal.

    Args:
        audio: waveforms.
        window: factors of a frame's samples.
        n_fft: samples of the transform, at least those of a frame.
        hop: samples from one frame to the next.
    """
    return _power(framed(audio, len(window), hop) * window, n_fft)


def stft_power(
    audio: Float[Array, "*B S"],
    n_fft: int,
    hop: int,
    *,
    pad_mode: str,
    window: Float[np.ndarray, " W"] | None = None,
) -> Float[Array, "*B T K"]:
    """Return the power spectrogram; frame t is centred on ``t * hop``.

    Args:
        audio: waveforms.
        n_fft: samples of the transform.
        hop: samples from one frame to the next.
        pad_mode: what fills the half windows at the ends: "reflect", or "constant"
            (zeros).
        window: factors of a frame's samples, an even number of them; a periodic Hann
            window of ``n_fft`` by default. The power of a shorter one is the same
            wherever it lies in the transform, so half a window of padding is enough.
    """
    window = periodic_hann(n_fft) if window is None else window
    half = len(window) // 2
    pad = [(0, 0)] * (audio.ndim - 1) + [(half, half)]
    return windowed_power(jnp.pad(audio, pad, mode=pad_mode), window, n_fft, hop)


def _slaney_hertz(mel: np.ndarray) -> np.ndarray:
    """Return Hz on Slaney's scale: 15 mel per kHz up to 1, then 27 per factor 6.4."""
    log_step = np.log(6.4) / 27.0
    return np.where(mel < 15, mel * 200 / 3, 1000 * np.exp(log_step * (mel - 15)))


def _slaney_mel(hertz: float) -> float:
    if hertz < 1000:
        return hertz * 3 / 200
    return 15 + 27 * float(np.log(hertz / 1000) / np.log(6.4))


@lru_cache(maxsize=8)
def slaney_filters(
    num_mels: int, n_fft: int, sample_rate: int, low: float, high: float
) -> Float[np.ndarray, "K M"]:
    """Return Slaney's triangles, straight on the Hz axis and of unit area."""
    edges = _slaney_hertz(
        np.linspace(_slaney_mel(low), _slaney_mel(high), num_mels + 2)
    )
    bins = np.fft.rfftfreq(n_fft, 1 / sample_rate)[:, None]
    rise = (bins - edges[:-2]) / (edges[1:-1] - edges[:-2])
    fall = (edges[2:] - bins) / (edges[2:] - edges[1:-1])
    area = 2.0 / (edges[2:] - edges[:-2])
    return (np.maximum(0.0, np.minimum(rise, fall)) * area).astype(np.float32)


def mel_decibels(
    audio: Float[Array, "*B S"],
    n_fft: int,
    hop: int,
    *,
    sample_rate: int,
    num_mels: int,
    low: float,
    high: float,
) -> Float[Array, "*B T M"]:
    """Return Slaney's log-mel in dB, ``1 + S // hop`` frames, mirrored at the ends.

    Args:
        audio: waveforms.
        n_fft: samples of a frame.
        hop: samples from one frame to the next.
        sample_rate: Hz.
        num_mels: bands.
        low, high: Hz where the lowest filter begins and the highest ends.
    """
    power = stft_power(audio, n_fft, hop, pad_mode="reflect")
    filters = slaney_filters(num_mels, n_fft, sample_rate, low, high)
    return decibels(jnp.matmul(power, filters, precision=_HIGHEST))


def decibels(power: Float[Array, "*B"], *, floor: float = 1e-10) -> Float[Array, "*B"]:
    """Return ``10 log10(max(power, floor))``."""
    return 10.0 * jnp.log10(jnp.maximum(power, floor))

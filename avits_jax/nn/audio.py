"""Short-time Fourier transforms, mel filters and phase reconstruction, all in-graph."""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Complex, Float


def _frames(num_samples: int, n_fft: int, hop: int, xp=jnp):
    """Return indices of every frame's samples, after padding n_fft // 2 in front."""
    starts = xp.arange(num_samples // hop) * hop + hop // 2
    return starts[:, None] + xp.arange(n_fft)[None]


def _window(n_fft: int) -> np.ndarray:
    """Return a periodic Hann window."""
    return (0.5 - 0.5 * np.cos(2 * np.pi * np.arange(n_fft) / n_fft)).astype(np.float32)


def stft(
    audio: Float[Array, "*B S"], n_fft: int, hop: int
) -> Complex[Array, "*B T {n_fft}//2+1"]:
    """Apply the short-time Fourier transform with a Hann window.

    Frame t is centred on sample ``hop * t + hop // 2``, so that ``S // hop`` frames
    tile the clip evenly; the clip is padded with zeros at both ends.
    """
    pad = [(0, 0)] * (audio.ndim - 1) + [(n_fft // 2, n_fft // 2 + hop)]
    framed = jnp.pad(audio, pad)[..., _frames(audio.shape[-1], n_fft, hop)]
    return jnp.fft.rfft(framed * _window(n_fft))


def istft(
    spectrum: Complex[Array, "*B T K"], n_fft: int, hop: int, num_samples: int
) -> Float[Array, "*B S"]:
    """Invert `stft` in the least-squares sense.

    Frames are added up and divided by the sum of the squared windows.
    """
    window = _window(n_fft)
    framed = jnp.fft.irfft(spectrum, n=n_fft) * window
    length = num_samples + n_fft + hop
    weight = np.zeros(length, np.float32)
    squares = np.broadcast_to(window**2, (num_samples // hop, n_fft))
    np.add.at(weight, _frames(num_samples, n_fft, hop, np), squares)
    out = jnp.zeros((*spectrum.shape[:-2], length))
    out = out.at[..., _frames(num_samples, n_fft, hop)].add(framed)
    out = out / np.maximum(weight, 1e-3)
    return out[..., n_fft // 2 : n_fft // 2 + num_samples]


def griffin_lim(
    magnitude: Float[Array, "*B T K"],
    phase: Float[Array, "T K"],
    n_fft: int,
    hop: int,
    num_samples: int,
    num_iterations: int,
) -> Float[Array, "*B S"]:
    """Recover a waveform from STFT magnitudes (fast Griffin-Lim, momentum 0.99).

    Perraudin et al., "A fast Griffin-Lim algorithm", WASPAA 2013. ``phase`` is the
    starting phase in radians.
    """
    start = jnp.broadcast_to(jnp.exp(1j * phase), magnitude.shape)

    def body(carry, _):
        angles, previous = carry
        audio = istft(magnitude * angles, n_fft, hop, num_samples)
        rebuilt = stft(audio, n_fft, hop)
        pushed = rebuilt + 0.99 * (rebuilt - previous)
        return (pushed / jnp.maximum(jnp.abs(pushed), 1e-8), rebuilt), None

    init = (start, jnp.zeros_like(start))
    (angles, _), _ = jax.lax.scan(body, init, None, length=num_iterations)
    return istft(magnitude * angles, n_fft, hop, num_samples)


def mel_filters(
    num_mels: int, n_fft: int, sample_rate: int, low: float = 40.0
) -> Float[np.ndarray, "K M"]:
    """Return triangles evenly spaced on the HTK mel scale up to Nyquist."""
    mel = np.linspace(
        2595 * np.log10(1 + low / 700),
        2595 * np.log10(1 + sample_rate / 2 / 700),
        num_mels + 2,
    )
    edges = 700 * (10 ** (mel / 2595) - 1)
    freqs = np.fft.rfftfreq(n_fft, 1 / sample_rate)[:, None]
    rise = (freqs - edges[:-2]) / (edges[1:-1] - edges[:-2])
    fall = (edges[2:] - freqs) / (edges[2:] - edges[1:-1])
    return np.maximum(0.0, np.minimum(rise, fall)).astype(np.float32)

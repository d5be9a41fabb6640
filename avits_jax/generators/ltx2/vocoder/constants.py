"""Numbers among the vocoder's weights that nobody learned.

A checkpoint holds them, rounded as all its weights are; drawn weights take them from
here. No copy of a checkpoint's was seen: the basis is that of a Hann window, the mel
filters are taken to be those that the sound autoencoder's spectrogram has.
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from avits_jax.nn.fbank import periodic_hann, slaney_filters
from avits_jax.nn.snake import low_pass
from avits_jax.types import PyTree


def fourier_basis(n_fft: int) -> Float[np.ndarray, "n_fft {n_fft}+2"]:
    """Return windowed cosines and (negative) sines of all frequencies, side by side."""
    waves = np.fft.rfft(np.eye(n_fft), axis=1) * periodic_hann(n_fft)[:, None]
    return np.concatenate([waves.real, waves.imag], 1).astype(np.float32)


def mel_filters(
    num_mels: int, n_fft: int, sample_rate: int
) -> Float[np.ndarray, "K M"]:
    """Return Slaney's triangles from 0 Hz to half the rate."""
    return slaney_filters(num_mels, n_fft, sample_rate, 0.0, sample_rate / 2)


def with_constants(params: PyTree, sample_rate: int = 16_000) -> PyTree:
    """Put the constants right among drawn weights.

    Args:
        params: weights of a `Vocoder`.
        sample_rate: of its base, Hz.
    """

    def settle(path: Any, weight: Any) -> Any:
        name = jax.tree_util.keystr(path, simple=True, separator="/")
        if name.endswith("_filter"):
            return _like(weight, low_pass(weight.shape[-1]))
        if name == "mel/basis":
            return _like(weight, fourier_basis(len(weight)))
        if name == "mel/filters":
            n_fft, num_mels = 2 * (len(weight) - 1), weight.shape[1]
            return _like(weight, mel_filters(num_mels, n_fft, sample_rate))
        return weight

    return jax.tree_util.tree_map_with_path(settle, params)


def _like(weight: Any, values: np.ndarray) -> Any:
    """Return other values in a weight's shape, dtype and place."""
    return weight * 0 + jnp.asarray(values, weight.dtype)

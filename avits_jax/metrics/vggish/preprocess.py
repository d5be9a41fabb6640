"""Pieces of the log-mel spectrogram that VGGish reads, in-graph.

Upstream: hkchengrex/av-benchmark at 050a5cd, av_bench/vggish/mel_features.py (after
harritaylor/torchvggish and tensorflow/models, research/audioset/vggish), which works in
float64.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from avits_jax.metrics.vggish.config import NUM_FRAMES, NUM_MELS, SAMPLE_RATE
from avits_jax.nn.fbank import kaldi_filters, periodic_hann, windowed_power

_WINDOW, _N_FFT, _HOP = 400, 512, 160
_LOW, _HIGH = 125.0, 7500.0
_OFFSET = 0.01
LEAST_SAMPLES = (NUM_FRAMES - 1) * _HOP + _WINDOW


def log_mel(waves: Float[Array, "*B S"]) -> Float[Array, "*B T 64"]:
    """Return the log of mel-weighted magnitudes of the frames inside 16 kHz waves."""
    power = windowed_power(waves, periodic_hann(_WINDOW), _N_FFT, _HOP)
    # The highest filter ends below the last bin, which the table does not have.
    magnitude = jnp.sqrt(power[..., :-1])
    filters = kaldi_filters(NUM_MELS, _N_FFT, SAMPLE_RATE, _LOW, _HIGH)
    mel = jnp.matmul(magnitude, filters, precision=jax.lax.Precision.HIGHEST)
    return jnp.log(mel + _OFFSET)


def pieces(waves: Float[Array, "*B S"]) -> Float[Array, "*B P 96 64"]:
    """Return spectrograms of every whole 0.96 s; the rest of a wave is dropped."""
    mel = log_mel(waves)
    count = mel.shape[-2] // NUM_FRAMES
    mel = mel[..., : count * NUM_FRAMES, :]
    return mel.reshape(*mel.shape[:-2], count, NUM_FRAMES, NUM_MELS)

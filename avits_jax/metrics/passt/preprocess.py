"""The log-mel spectrogram that PaSST reads, in-graph.

Upstream: kkoutini/passt_hear21, hear21passt/models/preprocess.py (AugmentMelSTFT, as it
is when nothing is trained); the length is of hkchengrex/av-benchmark at 050a5cd,
av_bench/extract.py.
"""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from avits_jax.metrics.passt.config import NUM_SAMPLES, SAMPLE_RATE
from avits_jax.nn.fbank import kaldi_filters, stft_power

_N_FFT, _WINDOW, _HOP = 1024, 800, 320
# Half a rate less half of a range that training drew its upper end from.
_LOW, _HIGH = 0.0, 15_000.0
_EMPHASIS = 0.97
_OFFSET = 1e-5
_SHIFT, _SCALE = 4.5, 5.0


def fit_length(waves: Float[Array, "B S"]) -> Float[Array, "B 320000"]:
    """Cut 32 kHz waves to 10 s, or fill them up with zeros."""
    missing = max(NUM_SAMPLES - waves.shape[-1], 0)
    return jnp.pad(waves, ((0, 0), (0, missing)))[:, :NUM_SAMPLES]


def log_mel(waves: Float[Array, "*B S"], num_mels: int) -> Float[Array, "*B M T"]:
    """Return a normalised log-mel spectrogram, a column every 10 ms.

    Args:
        waves: at 32 kHz in [-1, 1].
        num_mels: bands.
    """
    sharper = waves[..., 1:] - _EMPHASIS * waves[..., :-1]
    window = np.hanning(_WINDOW).astype(np.float32)
    power = stft_power(sharper, _N_FFT, _HOP, pad_mode="reflect", window=window)
    # The last bin, at half the rate, counts in no band.
    filters = kaldi_filters(num_mels, _N_FFT, SAMPLE_RATE, _LOW, _HIGH)
    highest = jax.lax.Precision.HIGHEST
    mel = jnp.matmul(power[..., :-1], filters, precision=highest)
    mel = (jnp.log(mel + _OFFSET) + _SHIFT) / _SCALE
    return jnp.swapaxes(mel, -1, -2)

"""The log-mel spectrogram that Cnn14 reads, in-graph.

Upstream: qiuqiangkong/torchlibrosa, torchlibrosa/stft.py (Spectrogram,
LogmelFilterBank), with the settings of hkchengrex/av-benchmark at 050a5cd,
av_bench/extraction_models.py.
"""

from jaxtyping import Array, Float

from avits_jax.metrics.cnn14.config import HOP, NUM_MELS, SAMPLE_RATE
from avits_jax.nn.fbank import mel_decibels

_N_FFT = 512
_LOW, _HIGH = 50.0, 8000.0


def log_mel(waves: Float[Array, "*B S"]) -> Float[Array, "*B T 64"]:
    """Return Slaney's log-mel in dB of 16 kHz waves, ``1 + S // 160`` frames."""
    return mel_decibels(
        waves,
        _N_FFT,
        HOP,
        sample_rate=SAMPLE_RATE,
        num_mels=NUM_MELS,
        low=_LOW,
        high=_HIGH,
    )

"""LTX-2's vocoder, and LTX-2.3's with bandwidth extension.

A HiFi-GAN of both channels at once makes the waveform. In LTX-2.3 it is a BigVGAN at 16
kHz; a second one hears that waveform's own spectrogram and adds what is missing at 48
kHz. Everything is computed in float32, whatever the dtype of the weights: it costs
little beside the pictures, and rounding can be heard.

Upstream: huggingface/diffusers, src/diffusers/pipelines/ltx2/vocoder.py (LTX2Vocoder,
LTX2VocoderWithBWE).
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from avits_jax.generators.ltx2.vocoder.config import VocoderConfig
from avits_jax.generators.ltx2.vocoder.constants import fourier_basis, mel_filters
from avits_jax.networks.hifigan import HifiGan
from avits_jax.nn.fbank import framed
from avits_jax.nn.resample import resample

Mel = Float[Array, "N C T M"]
Waveform = Float[Array, "N C S"]
_FLOOR = 1e-5
_SILENCE = 1e-20
_HIGHEST = jax.lax.Precision.HIGHEST


class Stages(NamedTuple):
    """What the extension goes through, each ``[N, C, ...]``.

    Attributes:
        low: the base's waveform.
        mel: its log-mel spectrogram.
        residual: what the extension adds.
        skip: the base's waveform at the extension's rate.
        waveform: the sum, cut to [-1, 1].
    """

    low: Waveform
    mel: Mel
    residual: Waveform
    skip: Waveform
    waveform: Waveform


class CausalMel(nnx.Module):
    """Log-mel spectrogram whose rows hear nothing that comes later.

    The windowed Fourier basis (cosines, then sines) and the mel filters are the
    checkpoint's, where they are rounded; they begin as what they are roundings of.
    """

    def __init__(self, num_mels: int, n_fft: int, hop: int, sample_rate: int):
        self.hop = hop
        filters = mel_filters(num_mels, n_fft, sample_rate)
        self.basis = nnx.Param(jnp.asarray(fourier_basis(n_fft)))
        self.filters = nnx.Param(jnp.asarray(filters))

    def __call__(self, audio: Waveform) -> Mel:
        """Return the natural logarithms of ``S / hop`` rows, floored at 1e-5."""
        basis, filters = (
            weight[...].astype(audio.dtype) for weight in (self.basis, self.filters)
        )
        size = len(basis)
        past = [(0, 0)] * (audio.ndim - 1) + [(size - self.hop, 0)]
        rows = framed(jnp.pad(audio, past), size, self.hop)
        both = jnp.matmul(rows, basis, precision=_HIGHEST)
        power = jnp.sum(jnp.square(jnp.stack(jnp.split(both, 2, -1))), 0)
        # The root of an exact 0 has no gradient.
        magnitude = jnp.sqrt(jnp.maximum(power, _SILENCE))
        bands = jnp.matmul(magnitude, filters, precision=_HIGHEST)
        return jnp.log(jnp.maximum(bands, _FLOOR))


class Vocoder(nnx.Module):
    """Log-mel spectrogram to waveform, one channel a spectrogram and a waveform."""

    def __init__(self, config: VocoderConfig, *, rngs: nnx.Rngs):
        self.config = config
        self.base = HifiGan(config.base, rngs=rngs)
        if config.extends:
            self.extension = HifiGan(config.extension, rngs=rngs)
            num_mels = config.extension.num_mels // config.channels
            self.mel = CausalMel(
                num_mels, config.n_fft, config.hop, config.base.sample_rate
            )

    def stages(self, mel: Mel) -> Stages:
        """Return the waveform, and what it is made of; of a vocoder that extends."""
        config = self.config
        low = _sound(self.base, mel.astype(jnp.float32))
        if config.clamp:
            low = jnp.clip(low, -1.0, 1.0)
        samples = low.shape[-1]
        padded = jnp.pad(low, ((0, 0), (0, 0), (0, -samples % config.hop)))
        own = self.mel(padded)
        residual = _sound(self.extension, own)
        skip = resample(
            padded, config.base.sample_rate, config.sample_rate, pad_mode="edge"
        )
        length = config.num_samples(mel.shape[2])
        whole = jnp.clip(residual + skip, -1.0, 1.0)
        return Stages(low, own, residual, skip, whole[..., :length])

    def __call__(self, mel: Mel) -> Waveform:
        """Make the waveform of a log-mel spectrogram.

        Args:
            mel: ``[N, channels, T, num_mels]``, natural logarithms.

        Returns:
            ``[N, channels, config.num_samples(T)]`` float32 in [-1, 1].

        Raises:
            ValueError: another number of channels or of mel bands.
        """
        config = self.config
        if (mel.shape[1], mel.shape[3]) != (config.channels, config.num_mels):
            raise ValueError(
                f"mel has {mel.shape[1]} channels of {mel.shape[3]} bands, expected "
                f"{config.channels} of {config.num_mels}"
            )
        if config.extends:
            return self.stages(mel).waveform
        return _sound(self.base, mel.astype(jnp.float32))


def _sound(network: HifiGan, mel: Mel) -> Waveform:
    """Make waveforms of all channels together, whose bands follow each other."""
    rows = jnp.swapaxes(mel, 1, 2).reshape(len(mel), mel.shape[2], -1)
    return jnp.swapaxes(network.waveforms(rows), 1, 2)

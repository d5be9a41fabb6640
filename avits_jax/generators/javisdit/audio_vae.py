"""AudioLDM2's sound autoencoder: latents to mel spectrogram to waveform, and back.

Liu et al., "AudioLDM 2", arXiv 2308.05734.

Upstream: JavisVerse/JavisDiT at b505b37, javisdit/models/vae_audio/audioldm2.py
(AudioLDM2); the spectrogram is that of javisdit/datasets/audio_utils.py
(AudioLDM2MelTransform).
"""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from avits_jax.networks.autoencoder_kl import AutoencoderKL, AutoencoderKLConfig
from avits_jax.networks.hifigan import HifiGan, HifiGanConfig
from avits_jax.nn.fbank import slaney_filters, stft_power
from avits_jax.nn.gaussian import Gaussian

# Of the mel spectrograms that the autoencoder was trained on.
_N_FFT = 1024
_FLOOR = 1e-5


@dataclass(frozen=True)
class AudioVaeConfig:
    """Sizes of the sound autoencoder.

    Attributes:
        vae: of the mel autoencoder.
        vocoder: of the vocoder.
        scaling_factor: latents are multiplied by it after encoding.
    """

    vae: AutoencoderKLConfig = AutoencoderKLConfig(
        in_channels=1,
        out_channels=1,
        block_channels=(128, 256, 512),
        latent_channels=8,
    )
    vocoder: HifiGanConfig = HifiGanConfig()
    scaling_factor: float = 0.4110932946205139

    @property
    def factor(self) -> int:
        """Return mel rows per latent row, which is mel bands per latent column."""
        return 2 ** (len(self.vae.block_channels) - 1)


class AudioVae(nnx.Module):
    """Mel autoencoder and vocoder."""

    def __init__(self, config: AudioVaeConfig, *, rngs: nnx.Rngs):
        self.config = config
        self.vae = AutoencoderKL(config.vae, rngs=rngs)
        self.vocoder = HifiGan(config.vocoder, rngs=rngs)

    def decode_mel(self, latents: Float[Array, "B t m D"]) -> Float[Array, "B T M"]:
        """Decode scaled latents to a log mel spectrogram."""
        return self.vae.decode(latents / self.config.scaling_factor)[..., 0]

    def decode(
        self, latents: Float[Array, "B t m D"], num_samples: int | None = None
    ) -> Float[Array, "B S"]:
        """Decode scaled latents to float32 samples in [-1, 1], whatever the weights.

        Args:
            latents: ``[B, t, m, D]``, time before mel.
            num_samples: length that the waveform is cut to; None keeps all of it.

        Returns:
            ``[B, S]``.

        Raises:
            ValueError: ``num_samples`` is more than there is.
        """
        waveform = self.vocoder(self.decode_mel(latents.astype(jnp.float32)))
        if num_samples is None:
            return waveform
        if num_samples > waveform.shape[1]:
            raise ValueError(
                f"num_samples is {num_samples}, but these latents give "
                f"{waveform.shape[1]} samples"
            )
        return waveform[:, :num_samples]

    def encode_mel(self, mel: Float[Array, "B T M"]) -> Gaussian:
        """Encode a log mel spectrogram as the distribution of its unscaled latents."""
        return self.vae.encode(mel[..., None])

    @property
    def shortest(self) -> int:
        """Return how many samples a waveform must have at least to be encoded."""
        return _N_FFT

    def encode(self, audio: Float[Array, "B S"]) -> Float[Array, "B t m D"]:
        """Encode a waveform as scaled latents, the means of their distribution.

        The spectrogram is that of HiFi-GAN and AudioLDM: magnitudes of windows of 1024
        samples every ``hop``, reflected at the ends, Slaney's filters from 0 Hz to half
        the rate, natural logarithm floored at 1e-5.

        Args:
            audio: samples in [-1, 1] at the vocoder's rate, ``hop * factor`` times t of
                them, at least `shortest`.
        """
        vocoder = self.config.vocoder
        power = stft_power(audio, _N_FFT, vocoder.hop, pad_mode="reflect")
        rate = vocoder.sample_rate
        filters = slaney_filters(vocoder.num_mels, _N_FFT, rate, 0.0, rate / 2)
        precision = jax.lax.Precision.HIGHEST
        bands = jnp.matmul(jnp.sqrt(power), filters, precision=precision)
        rows = jnp.log(jnp.maximum(bands, _FLOOR))[:, : audio.shape[1] // vocoder.hop]
        return self.encode_mel(rows).mean * self.config.scaling_factor

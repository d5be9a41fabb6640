"""LTX-2's sound autoencoder: waveform to log-mel to tokens, and tokens to log-mel.

Convolutions over time and mel bands that see no later row. A token is one latent row,
``(channel, band)`` with the channel first, normalised by statistics of that vector.
Everything is computed in float32, whatever the dtype of the weights: it costs little
beside the pictures, and rounding can be heard.

Upstream: huggingface/diffusers,
src/diffusers/models/autoencoders/autoencoder_kl_ltx2_audio.py (LTX2AudioEncoder,
LTX2AudioDecoder); published with causality over time, pixel norm and no attention,
the only form here. The spectrogram's facts are ltx-core's (AudioProcessor): diffusers
has none.
"""

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from avits_jax.generators.ltx2.audio_vae.config import AudioVaeConfig
from avits_jax.nn.convolution import Convolution, upsample_nearest
from avits_jax.nn.fbank import slaney_filters, stft_power
from avits_jax.nn.resample import resample
from avits_jax.nn.vectors import rms_normalise

Tokens = Float[Array, "N L D"]
Mel = Float[Array, "N C T M"]
Rows = Float[Array, "N T M C"]
Widened = Float[Array, "N T M W"]
_EPS = 1e-6
_FLOOR = 1e-5


def log_mel(
    audio: Float[Array, "N C S"], sample_rate: int, config: AudioVaeConfig
) -> Mel:
    """Return natural logarithms of mel magnitudes, floored at 1e-5.

    Frames are centred on every ``hop``-th sample of the waveform at the autoencoder's
    rate, mirrored at its ends; Slaney's filters reach from 0 Hz to half that rate.

    Args:
        audio: samples in [-1, 1].
        sample_rate: of them, Hz; another one than ``config.sample_rate`` is changed to
            it, as torchaudio does by default.
        config: sizes of the spectrogram.

    Returns:
        ``[N, C, config.num_rows(samples), num_mels]``.

    Raises:
        ValueError: the waveform is too short to be mirrored.
    """
    audio = resample(audio.astype(jnp.float32), sample_rate, config.sample_rate)
    least = config.n_fft // 2 + 1
    if audio.shape[-1] < least:
        raise ValueError(
            f"audio has {audio.shape[-1]} samples at {config.sample_rate} Hz, expected "
            f"at least {least}"
        )
    power = stft_power(audio, config.n_fft, config.hop, pad_mode="reflect")
    rate = config.sample_rate
    filters = slaney_filters(config.num_mels, config.n_fft, rate, 0.0, rate / 2)
    precision = jax.lax.Precision.HIGHEST
    bands = jnp.matmul(jnp.sqrt(power), filters, precision=precision)
    return jnp.log(jnp.maximum(bands, _FLOOR))


def _conv(inputs: int, outputs: int, *, size: int = 3, rngs: nnx.Rngs) -> Convolution:
    """Make a convolution whose window ends at its row; over bands it is centred."""
    side = size // 2
    padding = (size - 1, 0), (side, side)
    return Convolution(inputs, outputs, (size, size), padding=padding, rngs=rngs)


class Block(nnx.Module):
    """Two convolutions, each behind pixel norm and SiLU, beside a shortcut."""

    def __init__(self, inputs: int, outputs: int, *, rngs: nnx.Rngs):
        self.conv1 = _conv(inputs, outputs, rngs=rngs)
        self.conv2 = _conv(outputs, outputs, rngs=rngs)
        straight = inputs == outputs
        self.shortcut = None if straight else _conv(inputs, outputs, size=1, rngs=rngs)

    def __call__(self, x: Rows) -> Widened:
        h = self.conv1(jax.nn.silu(rms_normalise(x, _EPS)))
        h = self.conv2(jax.nn.silu(rms_normalise(h, _EPS)))
        return h + (x if self.shortcut is None else self.shortcut(x))


class Level(nnx.Module):
    """Blocks of one width, and the convolution that changes the resolution, if any."""

    def __init__(
        self,
        inputs: int,
        outputs: int,
        depth: int,
        resample: Convolution | None,
        *,
        rngs: nnx.Rngs,
    ):
        first = Block(inputs, outputs, rngs=rngs)
        others = [Block(outputs, outputs, rngs=rngs) for _ in range(depth - 1)]
        self.blocks = nnx.List([first, *others])
        self.resample = resample

    def __call__(self, x: Rows) -> Widened:
        for block in self.blocks:
            x = block(x)
        return x


class Statistics(nnx.Module):
    """Mean and deviation of every number of a token."""

    def __init__(self, features: int):
        self.mean = nnx.Param(jnp.zeros((features,)))
        self.std = nnx.Param(jnp.ones((features,)))

    def normalise(self, tokens: Tokens) -> Tokens:
        """Normalise tokens, in float32."""
        mean, std = (w[...].astype(jnp.float32) for w in (self.mean, self.std))
        return (tokens.astype(jnp.float32) - mean) / std

    def unnormalise(self, tokens: Tokens) -> Tokens:
        """Undo `normalise`, in float32."""
        mean, std = (w[...].astype(jnp.float32) for w in (self.mean, self.std))
        return tokens.astype(jnp.float32) * std + mean


class AudioDecoder(nnx.Module):
    """Normalised tokens to log-mel spectrograms."""

    def __init__(self, config: AudioVaeConfig, *, rngs: nnx.Rngs):
        self.config = config
        widths = [config.width * factor for factor in config.multipliers]
        self.statistics = Statistics(config.features)
        self.conv_in = _conv(config.latent_channels, widths[-1], rngs=rngs)
        self.middle1 = Block(widths[-1], widths[-1], rngs=rngs)
        self.middle2 = Block(widths[-1], widths[-1], rngs=rngs)
        # From fine to coarse, as they are published; they run from coarse to fine.
        self.levels = nnx.List(
            [
                Level(
                    widths[min(index + 1, len(widths) - 1)],
                    width,
                    config.blocks + 1,
                    _conv(width, width, rngs=rngs) if index else None,
                    rngs=rngs,
                )
                for index, width in enumerate(widths)
            ]
        )
        self.conv_out = _conv(widths[0], config.channels, rngs=rngs)

    def stages(self, latents: Tokens) -> list[Array]:
        """Return what leaves the first convolution, every upsampling and the last."""
        config = self.config
        shape = (config.latent_channels, config.latent_bins)
        tokens = self.statistics.unnormalise(latents)
        x = tokens.reshape(*tokens.shape[:2], *shape)
        found = [self.conv_in(jnp.swapaxes(x, 2, 3))]
        x = self.middle2(self.middle1(found[0]))
        for level in reversed(self.levels):
            x = level(x)
            if level.resample is not None:
                # Without its first row, T rows become 2 T - 1.
                x = level.resample(upsample_nearest(x))[:, 1:]
                found.append(x)
        return [*found, self.conv_out(jax.nn.silu(rms_normalise(x, _EPS)))]

    def decode(self, latents: Tokens) -> Mel:
        """Decode normalised tokens to log-mel spectrograms.

        Args:
            latents: ``[N, L, features]``.

        Returns:
            ``[N, channels, config.mel_rows(L), num_mels]`` float32.

        Raises:
            ValueError: a token has another size.
        """
        if latents.shape[-1] != self.config.features:
            raise ValueError(
                f"latents has tokens of {latents.shape[-1]} numbers, expected "
                f"{self.config.features}"
            )
        return jnp.moveaxis(self.stages(latents)[-1], -1, 1)


class AudioEncoder(nnx.Module):
    """Waveforms, or their log-mel spectrograms, to normalised tokens."""

    def __init__(self, config: AudioVaeConfig, *, rngs: nnx.Rngs):
        self.config = config
        widths = [config.width * factor for factor in config.multipliers]
        self.statistics = Statistics(config.features)
        self.conv_in = _conv(config.channels, config.width, rngs=rngs)
        coarsest = len(widths) - 1
        self.levels = nnx.List(
            [
                Level(
                    widths[index - 1] if index else config.width,
                    width,
                    config.blocks,
                    _halving(width, rngs) if index < coarsest else None,
                    rngs=rngs,
                )
                for index, width in enumerate(widths)
            ]
        )
        self.middle1 = Block(widths[-1], widths[-1], rngs=rngs)
        self.middle2 = Block(widths[-1], widths[-1], rngs=rngs)
        self.conv_out = _conv(widths[-1], 2 * config.latent_channels, rngs=rngs)

    def stages(self, mel: Mel) -> list[Array]:
        """Return what leaves the first convolution, every halving, middle and last."""
        found = [self.conv_in(jnp.moveaxis(mel.astype(jnp.float32), 1, -1))]
        x = found[0]
        for level in self.levels:
            x = level(x)
            if level.resample is not None:
                x = level.resample(x)
                found.append(x)
        x = self.middle2(self.middle1(x))
        return [*found, x, self.conv_out(jax.nn.silu(rms_normalise(x, _EPS)))]

    def encode_mel(self, mel: Mel) -> Tokens:
        """Encode log-mel spectrograms as normalised tokens.

        They are the means of a distribution whose logarithmic variance is left out.

        Raises:
            ValueError: another number of channels or of mel bands.
        """
        config = self.config
        if (mel.shape[1], mel.shape[3]) != (config.channels, config.num_mels):
            raise ValueError(
                f"mel has {mel.shape[1]} channels of {mel.shape[3]} bands, expected "
                f"{config.channels} of {config.num_mels}"
            )
        means = jnp.split(self.stages(mel)[-1], 2, -1)[0]
        tokens = jnp.swapaxes(means, 2, 3).reshape(*means.shape[:2], -1)
        return self.statistics.normalise(tokens)

    def encode(self, audio: Float[Array, "N C S"], sample_rate: int) -> Tokens:
        """Encode waveforms as normalised tokens.

        Args:
            audio: ``[N, channels, S]`` in [-1, 1].
            sample_rate: of them, Hz.

        Returns:
            ``[N, L, features]`` float32.

        Raises:
            ValueError: another number of channels, or too few samples.
        """
        if audio.shape[1] != self.config.channels:
            raise ValueError(
                f"audio has {audio.shape[1]} channels, expected {self.config.channels}"
            )
        return self.encode_mel(log_mel(audio, sample_rate, self.config))


def _halving(width: int, rngs: nnx.Rngs) -> Convolution:
    """Make a convolution that keeps every other row and band."""
    return Convolution(width, width, (3, 3), 2, padding=((2, 0), (0, 1)), rngs=rngs)

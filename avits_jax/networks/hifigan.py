"""HiFi-GAN vocoder: mel spectrogram to waveform (Kong et al., arXiv 2010.05646).

BigVGAN (Lee et al., arXiv 2206.04658) is the same with other activations.

Upstream: huggingface/transformers,
src/transformers/models/speecht5/modeling_speecht5.py (SpeechT5HifiGan), and
huggingface/diffusers, src/diffusers/pipelines/ltx2/vocoder.py (LTX2Vocoder).
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import reduce

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Float

from avits_jax.nn.snake import SnakeBeta

Signal = Float[Array, "B T C"]
ACTIVATIONS = ("leaky", "snakebeta")
_LAST_SLOPE = 0.01


@dataclass(frozen=True)
class HifiGanConfig:
    """Sizes of the vocoder.

    Attributes:
        num_mels: mel bands of a row, of all channels of a recording together.
        out_channels: of the waveform.
        sample_rate: of the waveform, Hz.
        channels: after the first convolution; every upsampling halves them.
        upsample_rates: factor of each upsampling.
        upsample_kernels: kernel size of each upsampling.
        resblock_kernels: kernel sizes of the residual blocks that are averaged.
        resblock_dilations: dilations of each of them.
        activation: "leaky", or "snakebeta" of BigVGAN, which has none before an
            upsampling.
        leaky_slope: of all leaky activations but the last one's, which has 0.01.
        last_bias: the last convolution has a bias.
        tanh: the waveform goes through tanh at the end.
        statistics: the weights hold statistics of mel rows.
        normalize: standardise mel rows by them first.

    Raises:
        ValueError: an unknown activation.
    """

    num_mels: int = 64
    out_channels: int = 1
    sample_rate: int = 16_000
    channels: int = 1024
    upsample_rates: tuple[int, ...] = (5, 4, 2, 2, 2)
    upsample_kernels: tuple[int, ...] = (16, 16, 8, 4, 4)
    resblock_kernels: tuple[int, ...] = (3, 7, 11)
    resblock_dilations: tuple[tuple[int, ...], ...] = ((1, 3, 5),) * 3
    activation: str = "leaky"
    leaky_slope: float = 0.1
    last_bias: bool = True
    tanh: bool = True
    statistics: bool = True
    normalize: bool = False

    def __post_init__(self) -> None:
        if self.activation not in ACTIVATIONS:
            raise ValueError(
                f"activation must be one of {ACTIVATIONS}, got {self.activation!r}"
            )

    @property
    def hop(self) -> int:
        """Return how many samples a mel row stands for."""
        return int(np.prod(self.upsample_rates))

    def num_samples(self, rows: int) -> int:
        """Return the waveform's length; a little over ``rows * hop``."""
        length = rows
        stages = zip(self.upsample_rates, self.upsample_kernels, strict=True)
        for rate, kernel in stages:
            length = (length - 1) * rate - 2 * ((kernel - rate) // 2) + kernel
        return length


class Upsample(nnx.Module):
    """Transposed convolution, as a plain one with an output for every phase.

    The kernel is that of the equivalent convolution over an input with ``rate - 1``
    zeros between its numbers; here none of them is multiplied.
    """

    def __init__(
        self, inward: int, outward: int, kernel: int, rate: int, *, rngs: nnx.Rngs
    ):
        self.rate = rate
        init = nnx.initializers.lecun_normal()
        self.kernel = nnx.Param(init(rngs.params(), (kernel, inward, outward)))
        self.bias = nnx.Param(jnp.zeros((outward,)))

    def __call__(self, x: Signal) -> Float[Array, "B t c"]:
        kernel, rate = self.kernel[...].astype(x.dtype), self.rate
        size, inward, outward = kernel.shape
        cut = (size - rate) // 2  # of the whole output, at both ends
        length = (x.shape[1] - 1) * rate + size - 2 * cut
        taps = -(-size // rate)
        phases = jnp.pad(kernel, ((0, taps * rate - size), (0, 0), (0, 0)))
        phases = phases.reshape(taps, rate, inward, outward)[:, ::-1]
        margin = size - 1 - cut
        before, start = margin // rate, rate - 1 - margin % rate
        blocks = -(-(start + length) // rate)
        out = jax.lax.conv_general_dilated(
            x,
            jnp.swapaxes(phases, 1, 2).reshape(taps, inward, rate * outward),
            (1,),
            [(before, blocks - x.shape[1] - before + taps - 1)],
            dimension_numbers=("NWC", "WIO", "NWC"),
        )
        out = out.reshape(len(x), blocks * rate, outward)[:, start : start + length]
        return out + self.bias[...].astype(x.dtype)


class LeakyRelu(nnx.Module):
    """Leaky ReLU, in the place of several activations that have weights."""

    def __init__(self, slope: float):
        self.slope = slope

    def __call__(self, x: Signal, index: int = 0) -> Signal:
        return jax.nn.leaky_relu(x, self.slope)


Activations = LeakyRelu | SnakeBeta


class ResidualBlock(nnx.Module):
    """Pairs of a dilated and a plain convolution, each pair with a shortcut.

    An activation stands before every convolution.
    """

    def __init__(
        self,
        channels: int,
        kernel: int,
        dilations: tuple[int, ...],
        activations: Callable[[int, int], Activations],
        *,
        rngs: nnx.Rngs,
    ):
        """Build the block.

        Args:
            channels: of the signal.
            kernel: size of the windows.
            dilations: of the first convolution of each pair.
            activations: makes so and so many activations for so many channels.
            rngs: of the weights.
        """

        def conv(dilation: int) -> nnx.Conv:
            return nnx.Conv(
                channels,
                channels,
                (kernel,),
                padding=dilation * (kernel - 1) // 2,
                kernel_dilation=dilation,
                rngs=rngs,
            )

        self.before_dilated = activations(len(dilations), channels)
        self.before_plain = activations(len(dilations), channels)
        self.dilated = nnx.List([conv(dilation) for dilation in dilations])
        self.plain = nnx.List([conv(1) for _ in dilations])

    def __call__(self, x: Signal) -> Signal:
        pairs = zip(self.dilated, self.plain, strict=True)
        for index, (dilated, plain) in enumerate(pairs):
            h = dilated(self.before_dilated(x, index))
            x = x + plain(self.before_plain(h, index))
        return x


class HifiGan(nnx.Module):
    """Generator of HiFi-GAN, or of BigVGAN."""

    def __init__(self, config: HifiGanConfig, *, rngs: nnx.Rngs):
        self.config = config
        self._leaky = config.activation == "leaky"
        channels = config.channels
        if config.statistics:
            self.mean = nnx.Param(jnp.zeros((config.num_mels,)))
            self.scale = nnx.Param(jnp.ones((config.num_mels,)))
        self.conv_in = nnx.Conv(config.num_mels, channels, (7,), padding=3, rngs=rngs)
        upsamples, blocks = [], []
        shapes = zip(config.upsample_rates, config.upsample_kernels, strict=True)
        for rate, kernel in shapes:
            upsamples.append(Upsample(channels, channels // 2, kernel, rate, rngs=rngs))
            channels //= 2
            kinds = zip(config.resblock_kernels, config.resblock_dilations, strict=True)
            blocks += [
                ResidualBlock(channels, size, dilations, self._activations, rngs=rngs)
                for size, dilations in kinds
            ]
        self.upsamples = nnx.List(upsamples)
        self.blocks = nnx.List(blocks)
        self.last = LeakyRelu(_LAST_SLOPE) if self._leaky else SnakeBeta(1, channels)
        self.conv_out = nnx.Conv(
            channels,
            config.out_channels,
            (7,),
            padding=3,
            use_bias=config.last_bias,
            rngs=rngs,
        )

    def _activations(self, count: int, channels: int) -> Activations:
        if self._leaky:
            return LeakyRelu(self.config.leaky_slope)
        return SnakeBeta(count, channels)

    def waveforms(self, mel: Float[Array, "B T M"]) -> Float[Array, "B S C"]:
        """Turn T mel rows into ``config.num_samples(T)`` samples of every channel.

        They lie in [-1, 1] where ``config.tanh``, else anywhere.
        """
        x = (mel - self.mean[...]) / self.scale[...] if self.config.normalize else mel
        x = self.conv_in(x)
        width = len(self.config.resblock_kernels)
        for stage, upsample in enumerate(self.upsamples):
            if self._leaky:
                x = jax.nn.leaky_relu(x, self.config.leaky_slope)
            x = upsample(x)
            blocks = self.blocks[stage * width : (stage + 1) * width]
            x = reduce(jnp.add, [block(x) for block in blocks]) / width
        x = self.conv_out(self.last(x))
        return jnp.tanh(x) if self.config.tanh else x

    def __call__(self, mel: Float[Array, "B T M"]) -> Float[Array, "B S"]:
        """Turn T mel rows into ``config.num_samples(T)`` samples of one channel."""
        return self.waveforms(mel)[..., 0]

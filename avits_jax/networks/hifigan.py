"""HiFi-GAN vocoder: mel spectrogram to waveform (Kong et al., arXiv 2010.05646).

Upstream: huggingface/transformers,
src/transformers/models/speecht5/modeling_speecht5.py (SpeechT5HifiGan). A transposed
convolution is a convolution over a dilated input here.
"""

from dataclasses import dataclass
from functools import reduce

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Float

Signal = Float[Array, "B T C"]
_LAST_SLOPE = 0.01


@dataclass(frozen=True)
class HifiGanConfig:
    """Sizes of the vocoder.

    Attributes:
        num_mels: mel bands of a row.
        sample_rate: of the waveform, Hz.
        channels: after the first convolution; every upsampling halves them.
        upsample_rates: factor of each upsampling.
        upsample_kernels: kernel size of each upsampling.
        resblock_kernels: kernel sizes of the residual blocks that are averaged.
        resblock_dilations: dilations of each of them.
        leaky_slope: of all activations but the last one's, which has 0.01.
        normalize: standardise mel rows by stored statistics first.
    """

    num_mels: int = 64
    sample_rate: int = 16_000
    channels: int = 1024
    upsample_rates: tuple[int, ...] = (5, 4, 2, 2, 2)
    upsample_kernels: tuple[int, ...] = (16, 16, 8, 4, 4)
    resblock_kernels: tuple[int, ...] = (3, 7, 11)
    resblock_dilations: tuple[tuple[int, ...], ...] = ((1, 3, 5),) * 3
    leaky_slope: float = 0.1
    normalize: bool = False

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
    """Transposed convolution as a convolution over a dilated input."""

    def __init__(
        self, inward: int, outward: int, kernel: int, rate: int, *, rngs: nnx.Rngs
    ):
        self.rate = rate
        init = nnx.initializers.lecun_normal()
        self.kernel = nnx.Param(init(rngs.params(), (kernel, inward, outward)))
        self.bias = nnx.Param(jnp.zeros((outward,)))

    def __call__(self, x: Signal) -> Float[Array, "B t c"]:
        kernel = self.kernel[...].astype(x.dtype)
        size = kernel.shape[0]
        margin = size - 1 - (size - self.rate) // 2
        out = jax.lax.conv_general_dilated(
            x,
            kernel,
            (1,),
            [(margin, margin)],
            lhs_dilation=(self.rate,),
            dimension_numbers=("NWC", "WIO", "NWC"),
        )
        return out + self.bias[...].astype(x.dtype)


class ResidualBlock(nnx.Module):
    """Pairs of a dilated and a plain convolution, each pair with a shortcut."""

    def __init__(
        self,
        channels: int,
        kernel: int,
        dilations: tuple[int, ...],
        slope: float,
        *,
        rngs: nnx.Rngs,
    ):
        def conv(dilation: int) -> nnx.Conv:
            return nnx.Conv(
                channels,
                channels,
                (kernel,),
                padding=dilation * (kernel - 1) // 2,
                kernel_dilation=dilation,
                rngs=rngs,
            )

        self.slope = slope
        self.dilated = nnx.List([conv(dilation) for dilation in dilations])
        self.plain = nnx.List([conv(1) for _ in dilations])

    def __call__(self, x: Signal) -> Signal:
        for dilated, plain in zip(self.dilated, self.plain, strict=True):
            h = dilated(jax.nn.leaky_relu(x, self.slope))
            x = x + plain(jax.nn.leaky_relu(h, self.slope))
        return x


class HifiGan(nnx.Module):
    """Generator of HiFi-GAN."""

    def __init__(self, config: HifiGanConfig, *, rngs: nnx.Rngs):
        self.config = config
        channels = config.channels
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
                ResidualBlock(channels, size, dilations, config.leaky_slope, rngs=rngs)
                for size, dilations in kinds
            ]
        self.upsamples = nnx.List(upsamples)
        self.blocks = nnx.List(blocks)
        self.conv_out = nnx.Conv(channels, 1, (7,), padding=3, rngs=rngs)

    def __call__(self, mel: Float[Array, "B T M"]) -> Float[Array, "B S"]:
        """Turn T mel rows into ``config.num_samples(T)`` samples in [-1, 1]."""
        x = (mel - self.mean[...]) / self.scale[...] if self.config.normalize else mel
        x = self.conv_in(x)
        width = len(self.config.resblock_kernels)
        for stage, upsample in enumerate(self.upsamples):
            x = upsample(jax.nn.leaky_relu(x, self.config.leaky_slope))
            blocks = self.blocks[stage * width : (stage + 1) * width]
            x = reduce(jnp.add, [block(x) for block in blocks]) / width
        x = self.conv_out(jax.nn.leaky_relu(x, _LAST_SLOPE))
        return jnp.tanh(x)[..., 0]

"""Convolutional image autoencoder with a Gaussian latent (latent diffusion's KL VAE).

Rombach et al., "High-Resolution Image Synthesis with Latent Diffusion Models", CVPR
2022. Arrays are batch-first and channels-last.

Upstream: huggingface/diffusers, src/diffusers/models/autoencoders/autoencoder_kl.py
(AutoencoderKL) and vae.py beside it (Encoder, Decoder), src/diffusers/models/resnet.py
(ResnetBlock2D).
"""

from dataclasses import dataclass

import jax
from flax import nnx
from jaxtyping import Array, Float

from avits_jax.nn.attention import attend
from avits_jax.nn.convolution import Convolution, upsample_nearest
from avits_jax.nn.gaussian import Gaussian, split_moments
from avits_jax.nn.group_norm import GroupNorm

Image = Float[Array, "B H W C"]
Changed = Float[Array, "B h w c"]  # of other sizes than the input
_EPSILON = 1e-6


@dataclass(frozen=True)
class AutoencoderKLConfig:
    """Sizes of the autoencoder.

    Attributes:
        in_channels: of the image encoded.
        out_channels: of the image decoded.
        block_channels: of each level, finest first; each but the last halves the size.
        layers_per_block: residual blocks of an encoder level; the decoder has one more.
        latent_channels: of the latent.
        norm_groups: groups of every GroupNorm.
    """

    in_channels: int = 3
    out_channels: int = 3
    block_channels: tuple[int, ...] = (128, 256, 512, 512)
    layers_per_block: int = 2
    latent_channels: int = 4
    norm_groups: int = 32


def group_norm(
    channels: int, groups: int, rngs: nnx.Rngs, epsilon: float = _EPSILON
) -> GroupNorm:
    """Make a GroupNorm with the epsilon of this network."""
    return GroupNorm(channels, groups, epsilon, rngs=rngs)


def _conv(inward: int, outward: int, rngs: nnx.Rngs, size: int = 3) -> Convolution:
    return Convolution(inward, outward, (size, size), rngs=rngs)


class ResnetBlock(nnx.Module):
    """Two normalised 3x3 convolutions and a shortcut."""

    def __init__(self, inward: int, outward: int, groups: int, *, rngs: nnx.Rngs):
        self.norm1 = group_norm(inward, groups, rngs)
        self.conv1 = _conv(inward, outward, rngs)
        self.norm2 = group_norm(outward, groups, rngs)
        self.conv2 = _conv(outward, outward, rngs)
        same = inward == outward
        self.shortcut = None if same else _conv(inward, outward, rngs, size=1)

    def __call__(self, x: Image) -> Changed:
        h = self.conv1(jax.nn.silu(self.norm1(x)))
        h = self.conv2(jax.nn.silu(self.norm2(h)))
        return h + (x if self.shortcut is None else self.shortcut(x))


class ImageAttention(nnx.Module):
    """Single-head self-attention over all pixels."""

    def __init__(self, channels: int, groups: int, *, rngs: nnx.Rngs):
        self.norm = group_norm(channels, groups, rngs)
        self.query = nnx.Linear(channels, channels, rngs=rngs)
        self.key = nnx.Linear(channels, channels, rngs=rngs)
        self.value = nnx.Linear(channels, channels, rngs=rngs)
        self.out = nnx.Linear(channels, channels, rngs=rngs)

    def __call__(self, x: Image) -> Image:
        flat = self.norm(x).reshape(len(x), -1, 1, x.shape[-1])
        mixed = attend(self.query(flat), self.key(flat), self.value(flat))
        return x + self.out(mixed).reshape(x.shape)


class Middle(nnx.Module):
    """Residual block, attention, residual block at the coarsest level."""

    def __init__(self, channels: int, groups: int, *, rngs: nnx.Rngs):
        self.resnets = nnx.List(
            [ResnetBlock(channels, channels, groups, rngs=rngs) for _ in range(2)]
        )
        self.attention = ImageAttention(channels, groups, rngs=rngs)

    def __call__(self, x: Image) -> Image:
        return self.resnets[1](self.attention(self.resnets[0](x)))


def _resampler(channels: int, direction: str | None, rngs: nnx.Rngs):
    """Make the convolution that halves the size, or the one that follows doubling."""
    if direction == "down":
        margins = ((0, 1), (0, 1))
        return Convolution(channels, channels, (3, 3), 2, padding=margins, rngs=rngs)
    return _conv(channels, channels, rngs) if direction == "up" else None


class Level(nnx.Module):
    """Residual blocks of one size, then a convolution that changes the size."""

    def __init__(
        self,
        inward: int,
        outward: int,
        depth: int,
        groups: int,
        resample: str | None,
        *,
        rngs: nnx.Rngs,
    ):
        widths = [inward] + [outward] * (depth - 1)
        self.direction = resample
        self.resnets = nnx.List(
            [ResnetBlock(width, outward, groups, rngs=rngs) for width in widths]
        )
        self.resample = _resampler(outward, resample, rngs)

    def __call__(self, x: Image) -> Changed:
        for resnet in self.resnets:
            x = resnet(x)
        if self.resample is None:
            return x
        return self.resample(upsample_nearest(x) if self.direction == "up" else x)


class Encoder(nnx.Module):
    """Image to the moments of its latent, before the last 1x1 convolution."""

    def __init__(self, config: AutoencoderKLConfig, *, rngs: nnx.Rngs):
        widths, groups = config.block_channels, config.norm_groups
        self.conv_in = _conv(config.in_channels, widths[0], rngs)
        levels = []
        for index, width in enumerate(widths):
            resample = "down" if index < len(widths) - 1 else None
            inward = widths[max(index - 1, 0)]
            depth = config.layers_per_block
            levels.append(Level(inward, width, depth, groups, resample, rngs=rngs))
        self.levels = nnx.List(levels)
        self.middle = Middle(widths[-1], groups, rngs=rngs)
        self.norm_out = group_norm(widths[-1], groups, rngs)
        self.conv_out = _conv(widths[-1], 2 * config.latent_channels, rngs)

    def __call__(self, x: Image) -> Changed:
        x = self.conv_in(x)
        for level in self.levels:
            x = level(x)
        return self.conv_out(jax.nn.silu(self.norm_out(self.middle(x))))


class Decoder(nnx.Module):
    """Latent to image, after the first 1x1 convolution."""

    def __init__(self, config: AutoencoderKLConfig, *, rngs: nnx.Rngs):
        widths, groups = config.block_channels[::-1], config.norm_groups
        self.conv_in = _conv(config.latent_channels, widths[0], rngs)
        self.middle = Middle(widths[0], groups, rngs=rngs)
        levels = []
        for index, width in enumerate(widths):
            resample = "up" if index < len(widths) - 1 else None
            inward = widths[max(index - 1, 0)]
            depth = config.layers_per_block + 1
            levels.append(Level(inward, width, depth, groups, resample, rngs=rngs))
        self.levels = nnx.List(levels)
        self.norm_out = group_norm(widths[-1], groups, rngs)
        self.conv_out = _conv(widths[-1], config.out_channels, rngs)

    def __call__(self, z: Image) -> Changed:
        x = self.middle(self.conv_in(z))
        for level in self.levels:
            x = level(x)
        return self.conv_out(jax.nn.silu(self.norm_out(x)))


class AutoencoderKL(nnx.Module):
    """Encoder and decoder; latents are not scaled here."""

    def __init__(self, config: AutoencoderKLConfig, *, rngs: nnx.Rngs):
        latent = config.latent_channels
        self.encoder = Encoder(config, rngs=rngs)
        self.quant = _conv(2 * latent, 2 * latent, rngs, size=1)
        self.post_quant = _conv(latent, latent, rngs, size=1)
        self.decoder = Decoder(config, rngs=rngs)

    def encode(self, images: Image) -> Gaussian:
        """Encode images ``[B, H, W, C]`` as the distribution of their latents."""
        return split_moments(self.quant(self.encoder(images)))

    def decode(self, latents: Float[Array, "B h w D"]) -> Image:
        """Decode latents ``[B, h, w, D]`` to images."""
        return self.decoder(self.post_quant(latents))

"""OpenSora's temporal autoencoder: frames of image latents to a quarter as many.

The design is MAGVIT-2's causal 3-D network (Yu et al., arXiv 2310.05737) on the latents
of an image autoencoder; space keeps its size.

Upstream: hpcaitech/Open-Sora, opensora/models/vae/vae_temporal.py (VAE_Temporal), which
JavisVerse/JavisDiT has as javisdit/models/vae/vae_temporal.py.
"""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from avits_jax.networks.autoencoder_kl import group_norm
from avits_jax.nn.convolution import CausalConv3d, Filtered, Video
from avits_jax.nn.gaussian import Gaussian, split_moments

_EPSILON = 1e-5


@dataclass(frozen=True)
class TemporalVaeConfig:
    """Sizes of the temporal autoencoder.

    Attributes:
        channels: of the frames encoded and decoded.
        latent_channels: inside, between the network and the last 1x1x1 convolutions.
        embed_channels: of the latent.
        width: channels of the finest stage.
        num_blocks: residual blocks of a stage, and of the middle.
        multipliers: width of each stage over ``width``, finest first.
        downsample: for each stage but the last, whether it halves the frames.
        norm_groups: groups of every GroupNorm.
    """

    channels: int = 4
    latent_channels: int = 4
    embed_channels: int = 4
    width: int = 128
    num_blocks: int = 4
    multipliers: tuple[int, ...] = (1, 2, 2, 4)
    downsample: tuple[bool, ...] = (False, True, True)
    norm_groups: int = 32

    @property
    def factor(self) -> int:
        """Return how many frames a latent frame stands for."""
        return 2 ** sum(self.downsample)

    @property
    def widths(self) -> tuple[int, ...]:
        """Return the channels of each stage, finest first."""
        return tuple(self.width * multiplier for multiplier in self.multipliers)

    def latent_frames(self, num_frames: int) -> int:
        """Return how many latent frames ``num_frames`` frames have."""
        return -(-num_frames // self.factor)


class TemporalBlock(nnx.Module):
    """Two normalised causal convolutions and a shortcut, without biases."""

    def __init__(self, inward: int, outward: int, groups: int, *, rngs: nnx.Rngs):
        def conv(channels: int, size: int) -> CausalConv3d:
            return CausalConv3d(channels, outward, size, use_bias=False, rngs=rngs)

        self.norm1 = group_norm(inward, groups, rngs, _EPSILON)
        self.conv1 = conv(inward, 3)
        self.norm2 = group_norm(outward, groups, rngs, _EPSILON)
        self.conv2 = conv(outward, 3)
        self.shortcut = None if inward == outward else conv(inward, 1)

    def __call__(self, x: Video) -> Filtered:
        h = self.conv1(jax.nn.silu(self.norm1(x)))
        h = self.conv2(jax.nn.silu(self.norm2(h)))
        return h + (x if self.shortcut is None else self.shortcut(x))


def _blocks(
    config: TemporalVaeConfig, inward: int, outward: int, rngs: nnx.Rngs
) -> nnx.List:
    widths = [inward] + [outward] * (config.num_blocks - 1)
    return nnx.List(
        [TemporalBlock(w, outward, config.norm_groups, rngs=rngs) for w in widths]
    )


def _run(blocks: nnx.List, x: Video) -> Filtered:
    for block in blocks:
        x = block(x)
    return x


class TemporalEncoder(nnx.Module):
    """Frames to the moments of the latent, before the last convolution."""

    def __init__(self, config: TemporalVaeConfig, *, rngs: nnx.Rngs):
        widths = config.widths
        self.conv_in = CausalConv3d(
            config.channels, widths[0], 3, use_bias=False, rngs=rngs
        )
        inward = (widths[0], *widths[:-1])
        self.stages = nnx.List(
            [_blocks(config, a, b, rngs) for a, b in zip(inward, widths, strict=True)]
        )
        self.resamples = nnx.List(
            [
                CausalConv3d(width, width, 3, stride=2, rngs=rngs) if halves else None
                for width, halves in zip(widths, config.downsample, strict=False)
            ]
        )
        self.middle = _blocks(config, widths[-1], widths[-1], rngs)
        self.norm_out = group_norm(widths[-1], config.norm_groups, rngs, _EPSILON)
        self.conv_out = CausalConv3d(
            widths[-1], 2 * config.latent_channels, 1, rngs=rngs
        )

    def __call__(self, x: Video) -> Filtered:
        x = self.conv_in(x)
        for index, stage in enumerate(self.stages):
            x = _run(stage, x)
            resample = self.resamples[index] if index < len(self.resamples) else None
            x = x if resample is None else resample(x)
        x = _run(self.middle, x)
        return self.conv_out(jax.nn.silu(self.norm_out(x)))


def _frames_from_channels(x: Video) -> Filtered:
    """Turn channels ``(C, 2)`` into twice as many frames."""
    batch, length, height, width, channels = x.shape
    x = x.reshape(batch, length, height, width, channels // 2, 2)
    x = jnp.moveaxis(x, -1, 2)
    return x.reshape(batch, 2 * length, height, width, channels // 2)


class TemporalDecoder(nnx.Module):
    """Latent frames to frames, after the first convolution."""

    def __init__(self, config: TemporalVaeConfig, *, rngs: nnx.Rngs):
        widths = config.widths
        self.conv_in = CausalConv3d(config.latent_channels, widths[-1], 3, rngs=rngs)
        self.middle = _blocks(config, widths[-1], widths[-1], rngs)
        inward = (*widths[1:], widths[-1])
        self.stages = nnx.List(
            [_blocks(config, a, b, rngs) for a, b in zip(inward, widths, strict=True)]
        )
        self.resamples = nnx.List(
            [
                CausalConv3d(width, 2 * width, 3, rngs=rngs) if doubles else None
                for width, doubles in zip(widths[1:], config.downsample, strict=True)
            ]
        )
        self.norm_out = group_norm(widths[0], config.norm_groups, rngs, _EPSILON)
        self.conv_out = CausalConv3d(widths[0], config.channels, 3, rngs=rngs)

    def __call__(self, z: Video) -> Filtered:
        x = _run(self.middle, self.conv_in(z))
        for index in reversed(range(len(self.stages))):
            x = _run(self.stages[index], x)
            resample = self.resamples[index - 1] if index > 0 else None
            x = x if resample is None else _frames_from_channels(resample(x))
        return self.conv_out(jax.nn.silu(self.norm_out(x)))


class TemporalVae(nnx.Module):
    """Causal autoencoder over time."""

    def __init__(self, config: TemporalVaeConfig, *, rngs: nnx.Rngs):
        self.config = config
        latent, embed = config.latent_channels, config.embed_channels
        self.encoder = TemporalEncoder(config, rngs=rngs)
        self.quant = CausalConv3d(2 * latent, 2 * embed, 1, rngs=rngs)
        self.post_quant = CausalConv3d(embed, latent, 1, rngs=rngs)
        self.decoder = TemporalDecoder(config, rngs=rngs)

    def encode(self, frames: Float[Array, "B T H W C"]) -> Gaussian:
        """Encode frames as latents; missing frames are zeros put in front."""
        front = -frames.shape[1] % self.config.factor
        padded = jnp.pad(frames, ((0, 0), (front, 0), (0, 0), (0, 0), (0, 0)))
        return split_moments(self.quant(self.encoder(padded)))

    def decode(
        self, latents: Float[Array, "B t H W D"], num_frames: int
    ) -> Float[Array, "B T H W C"]:
        """Decode latents to their last ``num_frames`` frames.

        Raises:
            ValueError: another number of latents belongs to ``num_frames``.
        """
        expected = self.config.latent_frames(num_frames)
        if latents.shape[1] != expected:
            raise ValueError(
                f"latents has {latents.shape[1]} frames; num_frames {num_frames} "
                f"takes {expected}"
            )
        x = self.decoder(self.post_quant(latents))
        return x[:, -num_frames % self.config.factor :]

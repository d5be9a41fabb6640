"""Latent upsampler: convolutions around one pixel shuffle, on un-normalised latents.

Video latents go in and come out as ``[N, f, h, w, C]``. All convolutions pad with
zeros, time included, and see later frames; GroupNorm's statistics are of a whole clip.

Upstream: huggingface/diffusers, src/diffusers/pipelines/ltx2/latent_upsampler.py
(LTX2LatentUpsamplerModel). Here the plain and the rational form are one network: the
plain one is the rational one whose blur has stride 1, which blurs nothing. Networks of
two-dimensional convolutions, which nobody published, are left out.
"""

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Float

from avits_jax.generators.ltx2.upsampler.config import UpsamplerConfig
from avits_jax.generators.ltx2.upsampler.filters import match_statistics, tone_map
from avits_jax.nn.convolution import Convolution
from avits_jax.nn.group_norm import GroupNorm
from avits_jax.nn.pixel_shuffle import pixel_shuffle
from avits_jax.nn.stacking import scan_layers, stack_layers

Latents = Float[Array, "N f h w C"]
Resampled = Float[Array, "N F H W C"]
_EPSILON = 1e-5
_BINOMIAL = np.array([1, 4, 6, 4, 1], np.float32) / 16


def _conv(inputs: int, outputs: int, axes: int, rngs: nnx.Rngs) -> Convolution:
    """Make a convolution of three positions a side over the last ``axes`` axes."""
    return Convolution(inputs, outputs, (3,) * axes, rngs=rngs)


def _norm(config: UpsamplerConfig, rngs: nnx.Rngs) -> GroupNorm:
    return GroupNorm(config.width, config.norm_groups, _EPSILON, rngs=rngs)


class ResBlock(nnx.Module):
    """Two convolutions, each followed by its norm; SiLU also after the sum."""

    def __init__(self, config: UpsamplerConfig, *, rngs: nnx.Rngs):
        self.conv1 = _conv(config.width, config.width, 3, rngs)
        self.norm1 = _norm(config, rngs)
        self.conv2 = _conv(config.width, config.width, 3, rngs)
        self.norm2 = _norm(config, rngs)

    def __call__(self, x: Latents) -> Latents:
        h = jax.nn.silu(self.norm1(self.conv1(x)))
        return jax.nn.silu(x + self.norm2(self.conv2(h)))


def blur(x: Latents, stride: int) -> Float[Array, "N f H W C"]:
    """Smooth every frame by [1 4 6 4 1] / 16 both ways and keep each ``stride``-th.

    Space is padded with two zeros on all sides. One axis after the other, as sums of
    slices: a convolution of every channel by itself takes a CPU twenty times as long.
    """
    wide = x.astype(jnp.float32)
    for axis in (2, 3):
        around = [(2, 2) if each == axis else (0, 0) for each in range(x.ndim)]
        end = x.shape[axis]
        padded = jnp.pad(wide, around)
        wide = sum(
            weight * jax.lax.slice_in_dim(padded, tap, tap + end, stride, axis)
            for tap, weight in enumerate(_BINOMIAL)
        )
    return wide.astype(x.dtype)


class Resample(nnx.Module):
    """A convolution to more channels, then those to more frames and pixels.

    Where frames stay as many, the convolution is over the pixels of each.
    """

    def __init__(self, config: UpsamplerConfig, *, rngs: nnx.Rngs):
        self.config = config
        outputs = config.width * config.time * config.space**2
        axes = 2 if config.time == 1 else 3
        self.conv = _conv(config.width, outputs, axes, rngs)

    def __call__(self, x: Latents) -> Resampled:
        """Resample ``[N, f, h, w, C]`` to ``time * f`` frames."""
        config = self.config
        x = pixel_shuffle(self.conv(x), config.time, config.space)
        return x if config.shrink == 1 else blur(x, config.shrink)


class Upsampler(nnx.Module):
    """Video latents to larger ones: more rows and columns, or ``2 f - 1`` frames."""

    def __init__(self, config: UpsamplerConfig, *, rngs: nnx.Rngs):
        """Build the network.

        Args:
            config: its sizes.
            rngs: of the weights.
        """
        self.config = config

        def block(rngs: nnx.Rngs) -> ResBlock:
            return ResBlock(config, rngs=rngs)

        self.conv_in = _conv(config.channels, config.width, 3, rngs)
        self.norm_in = _norm(config, rngs)
        self.before = stack_layers(block, config.num_blocks, rngs)
        self.resample = Resample(config, rngs=rngs)
        self.after = stack_layers(block, config.num_blocks, rngs)
        self.conv_out = _conv(config.width, config.channels, 3, rngs)

    def __call__(
        self, latents: Latents, adain_factor: float = 0.0, tone_compression: float = 0.0
    ) -> Resampled:
        """Make latents that are not normalised larger.

        Un-normalise before and normalise behind with the statistics of the video
        autoencoder, which is no part of this network.

        Args:
            latents: ``[N, f, h, w, channels]``, un-normalised.
            adain_factor: how far the result is drawn to the mean and spread of
                ``latents``, channel by channel; 0 leaves it as it is (as LTX's own
                pipelines do), 1 gives it theirs.
            tone_compression: how strongly large values are made smaller, in [0, 1].

        Returns:
            ``[N, F, H, W, channels]``, computed in the dtype of the weights and
            returned in that of ``latents``.

        Raises:
            ValueError: latents have another number of channels, or
                ``tone_compression`` is out of range.
        """
        if latents.ndim != 5 or latents.shape[-1] != self.config.channels:
            raise ValueError(
                f"latents must be [N, f, h, w, {self.config.channels}], got "
                f"{list(latents.shape)}"
            )
        x = latents.astype(self.conv_in.kernel.dtype)
        x = scan_layers(self.before, jax.nn.silu(self.norm_in(self.conv_in(x))))
        # Latent frame 0 is a single frame, of which there are not two.
        x = self.resample(x)[:, self.config.time - 1 :]
        x = self.conv_out(scan_layers(self.after, x)).astype(latents.dtype)
        if adain_factor:
            x = match_statistics(x, latents, adain_factor)
        return tone_map(x, tone_compression)

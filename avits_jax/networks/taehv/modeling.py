"""TAEHV's decoder: 3x3 convolutions that see one frame back, a whole clip at once.

Ollin Boer Bohan's tiny autoencoder for video, MIT licence. Its latents are those that a
diffusion model is trained on: normalised, with no scale or shift of their own.

Upstream: madebyollin/taehv, taehv.py (TAEHV, MemBlock, TGrow, decode_video with
``parallel=True``). Here frames are multiplied before pixels are, and trimmed frames
leave before the last convolution: the same numbers for less work. The encoder, and the
decoders of the "super" and "wide" files, which are other networks, are left out.
"""

from itertools import pairwise

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from avits_jax.networks.taehv.config import NUM_BLOCKS, TaehvConfig
from avits_jax.nn.convolution import Convolution
from avits_jax.nn.pixel_shuffle import pixel_shuffle

Frames = Float[Array, "N f h w C"]
_BOUND = 3.0


def _conv(
    inputs: int, outputs: int, rngs: nnx.Rngs, use_bias: bool = True
) -> Convolution:
    return Convolution(inputs, outputs, (3, 3), use_bias=use_bias, rngs=rngs)


class MemoryBlock(nnx.Module):
    """Three convolutions of a frame and the one before it, added to the frame."""

    def __init__(self, width: int, *, rngs: nnx.Rngs):
        self.conv1 = _conv(2 * width, width, rngs)
        self.conv2 = _conv(width, width, rngs)
        self.conv3 = _conv(width, width, rngs)

    def __call__(self, x: Frames) -> Frames:
        """Map ``[N, f, h, w, C]``; what lies before the first frame is zeros."""
        past = jnp.pad(x, ((0, 0), (1, 0), (0, 0), (0, 0), (0, 0)))[:, :-1]
        h = jax.nn.relu(self.conv1(jnp.concatenate([x, past], -1)))
        return jax.nn.relu(self.conv3(jax.nn.relu(self.conv2(h))) + x)


def _repeat_pixels(x: Frames, times: int) -> Float[Array, "N f H W C"]:
    return jnp.repeat(jnp.repeat(x, times, axis=2), times, axis=3)


class Stage(nnx.Module):
    """Memory blocks, then more frames, more pixels and another width."""

    def __init__(
        self, inputs: int, outputs: int, time: int, space: int, *, rngs: nnx.Rngs
    ):
        self.time, self.space = time, space
        self.blocks = nnx.List(
            [MemoryBlock(inputs, rngs=rngs) for _ in range(NUM_BLOCKS)]
        )
        self.grow = nnx.Linear(inputs, time * inputs, use_bias=False, rngs=rngs)
        self.conv = _conv(inputs, outputs, rngs, use_bias=False)

    def __call__(self, x: Frames) -> Float[Array, "N F H W D"]:
        """Map ``[N, f, h, w, C]`` to ``time * f`` frames ``space`` times as large."""
        for block in self.blocks:
            x = block(x)
        batch, frames, height, width, channels = x.shape
        x = self.grow(x).reshape(batch, frames, height, width, self.time, channels)
        x = jnp.moveaxis(x, 4, 2).reshape(batch, -1, height, width, channels)
        return self.conv(_repeat_pixels(x, self.space))


class TaehvDecoder(nnx.Module):
    """Normalised video latents to frames."""

    def __init__(self, config: TaehvConfig, *, rngs: nnx.Rngs):
        """Build the network.

        Args:
            config: its sizes.
            rngs: of the weights.
        """
        self.config = config
        widths, outputs = config.widths, config.image_channels * config.patch**2
        self.conv_in = _conv(config.latent_channels, widths[0], rngs)
        sizes = zip(pairwise(widths), config.time, config.space, strict=True)
        self.stages = nnx.List(
            [Stage(*pair, time, space, rngs=rngs) for pair, time, space in sizes]
        )
        self.conv_out = _conv(widths[-1], outputs, rngs)

    def enter(self, latents: Frames) -> Float[Array, "N f h w D"]:
        """Bound latents smoothly to (-3, 3) and widen them, in the weights' dtype."""
        bounded = _BOUND * jnp.tanh(latents / _BOUND)
        return jax.nn.relu(self.conv_in(bounded.astype(self.conv_in.kernel.dtype)))

    def decode(self, latents: Frames) -> Float[Array, "N F H W D"]:
        """Decode latents ``[N, f, h, w, latent_channels]`` to frames in [0, 1].

        Args:
            latents: normalised.

        Returns:
            ``[N, t (f - 1) + 1, s h, s w, image_channels]`` with t the product of
            ``time`` and s of ``space`` and ``patch``, computed in the dtype of the
            weights and returned in that of ``latents``.

        Raises:
            ValueError: latents have another number of channels.
        """
        config = self.config
        if latents.ndim != 5 or latents.shape[-1] != config.latent_channels:
            raise ValueError(
                f"latents must be [N, f, h, w, {config.latent_channels}], got "
                f"{list(latents.shape)}"
            )
        x = self.enter(latents)
        for stage in self.stages:
            x = stage(x)
        pixels = self.conv_out(jax.nn.relu(x[:, config.num_trimmed :]))
        frames = pixel_shuffle(pixels, 1, config.patch).astype(latents.dtype)
        return jnp.clip(frames, 0, 1)

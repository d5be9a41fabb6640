"""LTX-2's video autoencoder: latents to frames, and frames to latents.

Both networks hold the statistics of latents, one mean and one spread for each channel.
They compute in the dtype of their weights; statistics, the norms' means and what comes
out are float32.

The largest arrays at 512 x 768 x 121 have 121 x 128 x 192 x 128 numbers in both
versions (the last stage), 0.71 GiB for a clip in bfloat16; a convolution holds three or
four of them. Callers bound memory by the clips that they decode at once. The last
stages of one clip are not cut along time: they reach 10 frames to either side, so that
exact pieces of 24 frames would cost a quarter more operations and save at most half.

Upstream: huggingface/diffusers,
src/diffusers/models/autoencoders/autoencoder_kl_ltx2.py (LTX2VideoDecoder3d,
LTX2VideoEncoder3d, AutoencoderKLLTX2Video).
"""

from collections.abc import Iterator
from functools import cache, partial

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from avits_jax.generators.ltx2.video_vae.blocks import (
    Downsample,
    Level,
    Stage,
    Upsample,
    fold,
    modulate,
    pixel_norm,
    positions_first,
    unfold,
)
from avits_jax.generators.ltx2.video_vae.config import (
    VideoDecoderConfig,
    VideoEncoderConfig,
)
from avits_jax.nn.abstract import abstract
from avits_jax.nn.convolution import RepeatConv3d
from avits_jax.types import PyTree

Latents = Float[Array, "N f h w D"]
Frames = Float[Array, "N F H W C"]
Features = Float[Array, "N T P Q E"]


class LatentStatistics(nnx.Module):
    """Mean and spread of every latent channel."""

    def __init__(self, channels: int):
        self.mean = nnx.Param(jnp.zeros((channels,)))
        self.std = nnx.Param(jnp.ones((channels,)))

    def normalise(self, latents: Latents) -> Latents:
        """Bring latents to mean 0 and spread 1, in float32."""
        mean, std = (each[...].astype(jnp.float32) for each in (self.mean, self.std))
        return (latents.astype(jnp.float32) - mean) / std

    def unnormalise(self, latents: Latents) -> Latents:
        """Undo `normalise`, in float32."""
        mean, std = (each[...].astype(jnp.float32) for each in (self.mean, self.std))
        return latents.astype(jnp.float32) * std + mean


class VideoDecoder(LatentStatistics):
    """Latents to frames, every frame seeing those before and after it.

    Time is padded by repeated frames; space by reflection in LTX-2.0 and with zeros in
    LTX-2.3. A first latent is one frame, any other as many as the doublings make.
    """

    def __init__(self, config: VideoDecoderConfig, *, rngs: nnx.Rngs):
        super().__init__(config.latent_channels)
        self.config = config
        told = config.conditioned
        conv = partial(RepeatConv3d, reflect=config.reflect, rngs=rngs)
        widths = config.widths
        stages = [
            Stage(width, depth, reflect=config.reflect, conditioned=told, rngs=rngs)
            for width, depth in zip(widths, config.depths, strict=True)
        ]
        doublings = [
            Upsample(width, sizes, reflect=config.reflect, rngs=rngs)
            for width, sizes in zip(widths, config.resamples, strict=False)
        ]
        self.conv_in = conv(config.latent_channels, config.width)
        self.blocks = nnx.List(_in_turn(stages, doublings))
        self.conv_out = conv(widths[-1], config.channels * config.patch**2)
        self.level = Level(2 * widths[-1], rngs=rngs) if told else None
        self.table = nnx.Param(jnp.zeros((2, widths[-1]))) if told else None
        self.level_scale = nnx.Param(jnp.full((), 1000.0)) if told else None

    def decode(self, latents: Latents) -> Frames:
        """Decode normalised latents.

        Args:
            latents: ``[N, f, h, w, D]``.

        Returns:
            ``[N, F, H, W, 3]`` float32, in about [-1, 1], not clipped. With the
            published doublings ``F = 8 f - 7``, ``H = 32 h`` and ``W = 32 w``.
        """
        *_, x = self.stages(latents)
        return self.frames(x)

    def stages(self, latents: Latents) -> Iterator[Features]:
        """Yield what the first convolution and every block after it give."""
        x = self.unnormalise(latents).astype(self.conv_in.kernel[...].dtype)
        x = self.conv_in(x)
        yield x
        for block in self.blocks:
            x = block(x, self._told())
            yield x

    def frames(self, x: Features) -> Frames:
        """Return the frames that the last block's output becomes, in float32."""
        x, told = pixel_norm(x), self._told()
        if told is not None and self.level is not None and self.table is not None:
            rows = self.level(told).reshape(2, -1)
            x = modulate(x, *(rows + self.table[...].astype(jnp.float32)))
        patch = self.config.patch
        # Of a pixel's place in its patch the row varies fastest.
        rows_first = [
            row + patch * column for row in range(patch) for column in range(patch)
        ]
        reorder = partial(positions_first, order=rows_first)
        x = self.conv_out(jax.nn.silu(x), reorder)
        return unfold(x, (1, patch, patch)).astype(jnp.float32)

    def _told(self) -> Float[Array, ""] | None:
        """Return the noise level as the embeddings take it."""
        if self.level_scale is None:
            return None
        return self.config.level * self.level_scale[...].astype(jnp.float32)


class VideoEncoder(LatentStatistics):
    """Frames to latents, no frame seeing a later one.

    Space is padded with zeros in both versions.
    """

    def __init__(self, config: VideoEncoderConfig, *, rngs: nnx.Rngs):
        super().__init__(config.latent_channels)
        self.config = config
        conv = partial(RepeatConv3d, causal=True, rngs=rngs)
        widths = config.widths
        stages = [
            Stage(width, depth, causal=True, rngs=rngs)
            for width, depth in zip(widths, config.depths, strict=True)
        ]
        halvings = [
            Downsample(width, sizes, rngs=rngs)
            for width, sizes in zip(widths, config.resamples, strict=False)
        ]
        self.conv_in = conv(config.channels * config.patch**2, config.width)
        self.blocks = nnx.List(_in_turn(stages, halvings))
        # The last channel is the logarithm of a variance, which nothing reads.
        self.conv_out = conv(widths[-1], config.latent_channels + 1)

    def encode(self, video: Frames) -> Latents:
        """Encode a clip, or a picture as a clip of one frame.

        Frames at the end beyond a multiple of 8 plus one are left out, as in ltx-core;
        diffusers leaves that to its caller. Nothing is drawn: latents are means.

        Args:
            video: ``[N, F, H, W, 3]`` in [-1, 1]; H and W multiples of 32.

        Returns:
            Normalised latents ``[N, f, h, w, D]``, float32.

        Raises:
            ValueError: height or width is none that the halvings divide.
        """
        *_, x = self.stages(video)
        x = self.moments(x)
        return self.normalise(x[..., : self.config.latent_channels])

    def stages(self, video: Frames) -> Iterator[Features]:
        """Yield what the first convolution and every block after it give."""
        x = self.conv_in(self._patches(video).astype(self.conv_in.kernel[...].dtype))
        yield x
        for block in self.blocks:
            x = block(x)
            yield x

    def moments(self, x: Features) -> Latents:
        """Return what the last convolution makes of the last block's output.

        That is the latents' means, and one channel more.
        """
        return self.conv_out(jax.nn.silu(pixel_norm(x)))

    def _patches(self, video: Frames) -> Features:
        time, rows, columns = self.config.scale
        frames, height, width = video.shape[1:4]
        if height % rows or width % columns:
            raise ValueError(
                f"video must be multiples of {rows} pixels high and {columns} wide, "
                f"got {height}x{width}"
            )
        video = video[:, : frames - (frames - 1) % time]
        patch = self.config.patch
        # As in the decoder the row varies fastest.
        turned = fold(jnp.swapaxes(video, 2, 3), (1, patch, patch))
        return jnp.swapaxes(turned, 2, 3)


def _in_turn(stages: list, between: list) -> list:
    """Return stages with the resamplings between them, starting with a stage."""
    pairs = zip(stages, between, strict=False)
    return [each for pair in pairs for each in pair] + stages[-1:]


@cache
def build_decoder(config: VideoDecoderConfig) -> tuple[nnx.GraphDef, PyTree]:
    """Return the decoder's graph, and its parameters as shapes without memory."""
    return abstract(lambda rngs: VideoDecoder(config, rngs=rngs))


@cache
def build_encoder(config: VideoEncoderConfig) -> tuple[nnx.GraphDef, PyTree]:
    """Return the encoder's graph, and its parameters as shapes without memory."""
    return abstract(lambda rngs: VideoEncoder(config, rngs=rngs))

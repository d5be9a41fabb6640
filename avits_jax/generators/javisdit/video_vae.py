"""OpenSora VAE 1.2: an image autoencoder on every frame, then one over time.

Zheng et al., "Open-Sora", arXiv 2412.20404. Clips are cut into chunks of 17 frames that
know nothing of each other; memory is bounded by how many chunks and frames are worked
on at once.

Upstream: hpcaitech/Open-Sora, opensora/models/vae/vae.py (VideoAutoencoderPipeline),
which JavisVerse/JavisDiT has as javisdit/models/vae/vae.py.
"""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float, Key

from avits_jax.generators.javisdit.temporal_vae import TemporalVae, TemporalVaeConfig
from avits_jax.networks.autoencoder_kl import AutoencoderKL, AutoencoderKLConfig
from avits_jax.nn.gaussian import Gaussian
from avits_jax.sampling.chunks import in_batches, whole_batch

VideoLatents = Float[Array, "B t h w D"]
FrameLatents = Float[Array, "B T h w C"]
Frames = Float[Array, "B T H W 3"]


@dataclass(frozen=True)
class VideoVaeConfig:
    """Sizes of the video autoencoder.

    Attributes:
        spatial: of the image autoencoder.
        temporal: of the autoencoder over time.
        spatial_scaling: image latents are multiplied by it after encoding.
        chunk_frames: frames of a chunk.
        frames_at_once: frames that the image autoencoder works on at once.
        chunks_at_once: chunks that the temporal autoencoder works on at once.
    """

    spatial: AutoencoderKLConfig = AutoencoderKLConfig()
    temporal: TemporalVaeConfig = TemporalVaeConfig()
    spatial_scaling: float = 0.18215
    chunk_frames: int = 17
    frames_at_once: int = 4
    chunks_at_once: int = 1

    @property
    def factor(self) -> int:
        """Return how many pixels a latent row and column stand for."""
        return 2 ** (len(self.spatial.block_channels) - 1)

    def latent_frames(self, num_frames: int) -> int:
        """Return how many latent frames a clip has."""
        whole, rest = divmod(num_frames, self.chunk_frames)
        temporal = self.temporal
        return whole * temporal.latent_frames(
            self.chunk_frames
        ) + temporal.latent_frames(rest)


class VideoVae(nnx.Module):
    """Image autoencoder, temporal autoencoder, and the latents' statistics."""

    def __init__(self, config: VideoVaeConfig, *, rngs: nnx.Rngs):
        self.config = config
        channels = config.temporal.embed_channels
        self.spatial = AutoencoderKL(config.spatial, rngs=rngs)
        self.temporal = TemporalVae(config.temporal, rngs=rngs)
        self.shift = nnx.Param(jnp.zeros((channels,)))
        self.scale = nnx.Param(jnp.ones((channels,)))

    def decode_spatial(self, latents: FrameLatents) -> Frames:
        """Decode latents of single frames, nominally to [-1, 1], not clipped."""
        return _per_frame(
            lambda z: self.spatial.decode(z / self.config.spatial_scaling),
            _as_weights(latents, self.spatial),
            self.config.frames_at_once,
        )

    def encode_spatial(self, frames: Frames) -> Gaussian:
        """Encode frames in [-1, 1] as distributions of their unscaled latents."""

        def moments(images):
            return jnp.concatenate(self.spatial.encode(images), -1)

        both = _per_frame(
            moments, _as_weights(frames, self.spatial), self.config.frames_at_once
        )
        return Gaussian(*jnp.split(both, 2, axis=-1))

    def decode_temporal(self, latents: VideoLatents, num_frames: int) -> FrameLatents:
        """Decode normalised latents to latents of ``num_frames`` single frames.

        Raises:
            ValueError: another number of latents belongs to ``num_frames``.
        """
        config = self.config
        expected = config.latent_frames(num_frames)
        if latents.shape[1] != expected:
            raise ValueError(
                f"latents has {latents.shape[1]} frames; num_frames {num_frames} "
                f"takes {expected}"
            )
        chunk = config.temporal.latent_frames(config.chunk_frames)
        z = latents * self.scale[...] + self.shift[...]
        return self._per_chunk(
            self.temporal.decode,
            _as_weights(z, self.temporal),
            chunk,
            config.chunk_frames,
            num_frames,
        )

    def encode_temporal(self, latents: FrameLatents) -> Gaussian:
        """Encode scaled latents of single frames as the clip's distribution.

        Not normalised yet.
        """

        def moments(frames, _):
            return jnp.concatenate(self.temporal.encode(frames), -1)

        length = latents.shape[1]
        size = self.config.chunk_frames
        narrow = _as_weights(latents, self.temporal)
        both = self._per_chunk(moments, narrow, size, size, length)
        return Gaussian(*jnp.split(both, 2, axis=-1))

    def decode(self, latents: VideoLatents, num_frames: int) -> Frames:
        """Decode normalised latents to a clip, nominally in [-1, 1], not clipped.

        Args:
            latents: ``[B, t, h, w, D]``.
            num_frames: frames of the clip.

        Returns:
            ``[B, num_frames, 8 h, 8 w, 3]`` float32.

        Raises:
            ValueError: another number of latents belongs to ``num_frames``.
        """
        frames = self.decode_spatial(self.decode_temporal(latents, num_frames))
        return frames.astype(jnp.float32)

    def encode(self, frames: Frames, key: Key[Array, ""] | None = None) -> VideoLatents:
        """Encode a clip in [-1, 1] as normalised latents: means, or drawn by key."""
        spatial = _wide(self.encode_spatial(frames))
        keys = (None, None) if key is None else tuple(jax.random.split(key))
        temporal = _wide(
            self.encode_temporal(_draw(spatial, keys[0]) * self.config.spatial_scaling)
        )
        return (_draw(temporal, keys[1]) - self.shift[...]) / self.scale[...]

    def _per_chunk(self, function, x, size: int, chunk_frames: int, num_frames: int):
        """Apply ``function(chunk, frames of the chunk)`` to chunks of ``size``."""
        batch, length = x.shape[:2]
        count = length // size
        parts = []
        if count:
            whole = x[:, : count * size].reshape(batch * count, size, *x.shape[2:])
            done = in_batches(
                lambda chunk: function(chunk, chunk_frames),
                whole,
                self.config.chunks_at_once,
            )
            parts.append(done.reshape(batch, -1, *done.shape[2:]))
        if length % size:
            rest = num_frames - count * chunk_frames
            parts.append(function(x[:, count * size :], rest))
        return jnp.concatenate(parts, axis=1)


def _as_weights(x: Array, network: AutoencoderKL | TemporalVae) -> Array:
    """Return an array in the dtype of a network's convolutions."""
    return x.astype(network.post_quant.kernel[...].dtype)


def _wide(gaussian: Gaussian) -> Gaussian:
    return Gaussian(*(moment.astype(jnp.float32) for moment in gaussian))


def _draw(gaussian: Gaussian, key: Key[Array, ""] | None):
    if key is None:
        return gaussian.mean
    noise = jax.random.normal(key, gaussian.mean.shape, gaussian.mean.dtype)
    return gaussian.sample(noise)


def _per_frame(function, x, size: int):
    """Apply a function of images to every frame of every clip."""
    flat = x.reshape(-1, *x.shape[2:])
    done = in_batches(function, flat, whole_batch(len(flat), size))
    return done.reshape(*x.shape[:2], *done.shape[1:])

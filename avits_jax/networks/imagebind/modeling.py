"""ImageBind's vision, audio and text encoders (Girdhar et al., arXiv 2305.05665).

Each encoder has `tokens` (patches or words with positions), `hidden` (after the trunk),
`project` (head, before normalisation) and `__call__` (the embedding). Facts of the
original that are easily missed: GELU is exact everywhere, text included; only vision
normalises before its blocks; only audio appends a learned key and value; text picks the
end token first and normalises it after. Depth, thermal and IMU encoders are left out.

Upstream: facebookresearch/ImageBind, imagebind/models/imagebind_model.py,
imagebind/models/transformer.py, imagebind/models/multimodal_preprocessors.py and
imagebind/models/helpers.py.
"""

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float, Int

from avits_jax.networks.imagebind.config import EncoderConfig, ImageBindConfig
from avits_jax.nn.attention import attend
from avits_jax.nn.patches import patchify
from avits_jax.nn.stacking import scan_layers, stack_layers
from avits_jax.nn.vectors import unit

MAX_TEXT_SCALE = 100.0


def _norm(width: int, rngs: nnx.Rngs, epsilon: float = 1e-6) -> nnx.LayerNorm:
    return nnx.LayerNorm(width, epsilon=epsilon, use_fast_variance=False, rngs=rngs)


def _table(rngs: nnx.Rngs, *shape: int) -> nnx.Param:
    return nnx.Param(0.02 * jax.random.normal(rngs.params(), shape))


class Attention(nnx.Module):
    """Multi-head self-attention, optionally with one learned extra key and value."""

    def __init__(self, config: EncoderConfig, *, rngs: nnx.Rngs):
        width = config.width
        self.heads = config.heads
        self.qkv = nnx.Linear(width, 3 * width, rngs=rngs)
        self.out = nnx.Linear(width, width, rngs=rngs)
        self.extra = _table(rngs, 2, width) if config.extra_key else None

    def __call__(self, x: Float[Array, "B L D"], causal: bool) -> Float[Array, "B L D"]:
        batch, length, width = x.shape
        q, k, v = jnp.split(self.qkv(x), 3, -1)
        if self.extra is not None:
            extra = jnp.broadcast_to(
                self.extra[...][:, None, None], (2, batch, 1, width)
            )
            k = jnp.concatenate([k, extra[0]], 1)
            v = jnp.concatenate([v, extra[1]], 1)
        q, k, v = (
            a.reshape(batch, -1, self.heads, width // self.heads) for a in (q, k, v)
        )
        mixed = attend(q, k, v, causal=causal)
        return self.out(mixed.reshape(batch, length, width))


class Block(nnx.Module):
    """Pre-norm transformer block with exact GELU."""

    def __init__(self, config: EncoderConfig, *, rngs: nnx.Rngs):
        width = config.width
        self.norm1 = _norm(width, rngs)
        self.attention = Attention(config, rngs=rngs)
        self.norm2 = _norm(width, rngs)
        self.up = nnx.Linear(width, 4 * width, rngs=rngs)
        self.down = nnx.Linear(4 * width, width, rngs=rngs)

    def __call__(self, x: Float[Array, "B L D"], causal: bool) -> Float[Array, "B L D"]:
        x = x + self.attention(self.norm1(x), causal)
        return x + self.down(jax.nn.gelu(self.up(self.norm2(x)), approximate=False))


class Trunk(nnx.Module):
    """Identical blocks, stacked along a leading layer axis and scanned."""

    def __init__(self, config: EncoderConfig, *, causal: bool, rngs: nnx.Rngs):
        self.causal = causal
        self.blocks = stack_layers(
            lambda rngs: Block(config, rngs=rngs), config.depth, rngs
        )

    def __call__(self, x: Float[Array, "B L D"]) -> Float[Array, "B L D"]:
        return scan_layers(self.blocks, x, call=lambda block, x: block(x, self.causal))


class VisionEncoder(nnx.Module):
    """Embeds frames, alone or in short consecutive groups.

    A frame alone stands for ``num_frames`` copies of itself; the patch kernel is then
    summed over time, which is the same and costs less.
    """

    def __init__(self, config: ImageBindConfig, *, rngs: nnx.Rngs):
        width, size = config.vision.width, config.patch_size
        self.size = size
        self.stem = _table(rngs, config.num_frames, size, size, 3, width)
        self.cls = _table(rngs, width)
        self.position = _table(rngs, config.vision_patches + 1, width)
        self.pre_norm = _norm(width, rngs)
        self.trunk = Trunk(config.vision, causal=False, rngs=rngs)
        self.norm = _norm(width, rngs)
        self.head = nnx.Linear(width, config.embed_dim, use_bias=False, rngs=rngs)

    def tokens(self, frames: Float[Array, "B T H W 3"]) -> Float[Array, "B L D"]:
        """Embed patches behind a class token, with positions.

        ``frames`` are normalised pixels with T = 1 or ``num_frames``.
        """
        kernel = self.stem[...]
        frames = frames.astype(kernel.dtype)
        if frames.shape[1] == 1:
            kernel = jnp.sum(kernel, 0, keepdims=True)
        batch, time, height, width, channels = frames.shape
        rows, columns, size = height // self.size, width // self.size, self.size
        patches = frames.reshape(batch, time, rows, size, columns, size, channels)
        x = jnp.einsum("btrpcqk,tpqkd->brcd", patches, kernel)
        return _with_class(
            x.reshape(batch, rows * columns, -1), self.cls, self.position
        )

    def hidden(self, frames: Float[Array, "B T H W 3"]) -> Float[Array, "B L D"]:
        """Return the tokens after the trunk."""
        return self.trunk(self.pre_norm(self.tokens(frames)))

    def project(self, hidden: Float[Array, "B L D"]) -> Float[Array, "B E"]:
        """Apply the head to the class token, before normalisation."""
        return self.head(self.norm(hidden[:, 0]))

    def __call__(self, frames: Float[Array, "B T H W 3"]) -> Float[Array, "B E"]:
        """Return embeddings of unit length, float32."""
        return self.embed(self.tokens(frames))

    def embed(self, tokens: Float[Array, "B L D"]) -> Float[Array, "B E"]:
        """Embed what `tokens` gave, of single frames and of groups alike."""
        return unit(self.project(self.trunk(self.pre_norm(tokens))))


class AudioEncoder(nnx.Module):
    """Embeds log-mel pictures of 2 s clips."""

    def __init__(self, config: ImageBindConfig, *, rngs: nnx.Rngs):
        width, size = config.audio.width, config.audio_patch
        self.stride = config.audio_stride
        self.stem = nnx.Conv(
            1,
            width,
            (size, size),
            strides=config.audio_stride,
            padding="VALID",
            use_bias=False,
            rngs=rngs,
        )
        self.stem_norm = _norm(width, rngs, epsilon=1e-5)
        self.cls = _table(rngs, width)
        self.position = _table(rngs, config.audio_patches + 1, width)
        self.trunk = Trunk(config.audio, causal=False, rngs=rngs)
        self.norm = _norm(width, rngs)
        self.head = nnx.Linear(width, config.embed_dim, use_bias=False, rngs=rngs)
        self.log_scale = nnx.Param(jnp.log(20.0))

    def tokens(self, mel: Float[Array, "B M T"]) -> Float[Array, "B L D"]:
        """Embed overlapping patches behind a class token, with positions."""
        kernel = self.stem.kernel[...]
        size, step = kernel.shape[0], self.stride
        # A product: XLA's CPU backend is slow at convolutions inside loops.
        patches = patchify(mel.astype(kernel.dtype)[..., None], size, step)
        x = self.stem_norm(patches @ kernel.reshape(-1, kernel.shape[-1]))
        return _with_class(x, self.cls, self.position)

    def hidden(self, mel: Float[Array, "B M T"]) -> Float[Array, "B L D"]:
        """Return the tokens after the trunk."""
        return self.trunk(self.tokens(mel))

    def project(self, hidden: Float[Array, "B L D"]) -> Float[Array, "B E"]:
        """Apply the head to the class token, before normalisation."""
        return self.head(self.norm(hidden[:, 0]))

    def __call__(self, mel: Float[Array, "B M T"]) -> Float[Array, "B E"]:
        """Return float32 embeddings of length ``exp(log_scale)``, published: 20."""
        scale = jnp.exp(self.log_scale[...].astype(jnp.float32))
        return scale * unit(self.project(self.hidden(mel)))


class TextEncoder(nnx.Module):
    """Embeds token ids padded with 0; the end token must be the largest id."""

    def __init__(self, config: ImageBindConfig, *, rngs: nnx.Rngs):
        width = config.text.width
        self.embed = _table(rngs, config.vocab_size, width)
        self.position = _table(rngs, config.context_length, width)
        self.trunk = Trunk(config.text, causal=True, rngs=rngs)
        self.norm = _norm(width, rngs)
        self.head = nnx.Linear(width, config.embed_dim, use_bias=False, rngs=rngs)
        self.log_scale = nnx.Param(jnp.log(1 / 0.07))

    def tokens(self, ids: Int[Array, "B L"]) -> Float[Array, "B L D"]:
        """Embed words with their positions."""
        return self.embed[...][ids] + self.position[...]

    def hidden(self, ids: Int[Array, "B L"]) -> Float[Array, "B L D"]:
        """Return the tokens after the trunk (JavisDiT's prior reads these)."""
        return self.trunk(self.tokens(ids))

    def project(
        self, hidden: Float[Array, "B L D"], ids: Int[Array, "B L"]
    ) -> Float[Array, "B E"]:
        """Apply the head to the end token, before normalisation."""
        end = jnp.argmax(ids, -1)[:, None, None]
        return self.head(self.norm(jnp.take_along_axis(hidden, end, 1)[:, 0]))

    def __call__(self, ids: Int[Array, "B L"]) -> Float[Array, "B E"]:
        """Return float32 embeddings scaled by the learned temperature, at most 100."""
        scale = jnp.exp(self.log_scale[...].astype(jnp.float32))
        return jnp.minimum(scale, MAX_TEXT_SCALE) * unit(
            self.project(self.hidden(ids), ids)
        )


class ImageBind(nnx.Module):
    """The three encoders that the verifiers use."""

    def __init__(self, config: ImageBindConfig, *, rngs: nnx.Rngs):
        self.vision = VisionEncoder(config, rngs=rngs)
        self.audio = AudioEncoder(config, rngs=rngs)
        self.text = TextEncoder(config, rngs=rngs)


def _with_class(
    x: Float[Array, "B L D"], cls: nnx.Param, position: nnx.Param
) -> Float[Array, "B L+1 D"]:
    first = jnp.broadcast_to(cls[...], (x.shape[0], 1, x.shape[-1]))
    return jnp.concatenate([first, x], 1) + position[...]

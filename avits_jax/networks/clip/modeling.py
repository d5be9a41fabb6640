"""CLIP's vision and text encoders (Radford et al., arXiv 2103.00020).

Both are pre-norm transformers with QuickGELU; vision normalises before its layers as
well, text is causal and read at its end token. What a score of its own needs of the
vision encoder (VQAScore's patch states) is `VisionTrunk`.

Upstream: openai/CLIP, clip/model.py (VisionTransformer, CLIP), and
huggingface/transformers, src/transformers/models/clip/modeling_clip.py.
"""

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float, Int

from avits_jax.networks.clip.config import ClipConfig, TextConfig, VisionConfig
from avits_jax.nn.activations import quick_gelu
from avits_jax.nn.attention import attend
from avits_jax.nn.patches import patchify
from avits_jax.nn.stacking import scan_layers, stack_layers


def _norm(width: int, rngs: nnx.Rngs) -> nnx.LayerNorm:
    return nnx.LayerNorm(width, epsilon=1e-5, use_fast_variance=False, rngs=rngs)


def _table(rngs: nnx.Rngs, *shape: int) -> nnx.Param:
    return nnx.Param(0.02 * jax.random.normal(rngs.params(), shape))


class Layer(nnx.Module):
    """Pre-norm transformer layer."""

    def __init__(self, config: VisionConfig | TextConfig, *, rngs: nnx.Rngs):
        width, hidden = config.width, config.hidden
        self.heads = config.heads
        self.norm1 = _norm(width, rngs)
        self.q = nnx.Linear(width, width, rngs=rngs)
        self.k = nnx.Linear(width, width, rngs=rngs)
        self.v = nnx.Linear(width, width, rngs=rngs)
        self.out = nnx.Linear(width, width, rngs=rngs)
        self.norm2 = _norm(width, rngs)
        self.fc1 = nnx.Linear(width, hidden, rngs=rngs)
        self.fc2 = nnx.Linear(hidden, width, rngs=rngs)

    def __call__(
        self, x: Float[Array, "B L D"], causal: bool = False
    ) -> Float[Array, "B L D"]:
        y = self.norm1(x)
        shape = (*x.shape[:2], self.heads, -1)
        query, key, value = (f(y).reshape(shape) for f in (self.q, self.k, self.v))
        mixed = attend(query, key, value, causal=causal)
        x = x + self.out(mixed.reshape(x.shape))
        return x + self.fc2(quick_gelu(self.fc1(self.norm2(x))))


class VisionTrunk(nnx.Module):
    """Vision transformer up to the states behind its last layer."""

    def __init__(self, config: VisionConfig, *, rngs: nnx.Rngs):
        width, self.patch = config.width, config.patch_size
        self.embed = nnx.Linear(3 * self.patch**2, width, use_bias=False, rngs=rngs)
        self.cls = _table(rngs, width)
        self.position = _table(rngs, config.num_patches + 1, width)
        self.norm = _norm(width, rngs)
        self.layers = stack_layers(
            lambda rngs: Layer(config, rngs=rngs), config.depth, rngs
        )

    def __call__(self, images: Float[Array, "B H W 3"]) -> Float[Array, "B L D"]:
        """Return the states of a class token and, row by row, of the patches.

        ``images`` are normalised pixels; they are read in the weights' dtype.
        """
        images = images.astype(self.embed.kernel.dtype)
        x = self.embed(patchify(images, self.patch))
        cls = jnp.broadcast_to(self.cls[...].astype(x.dtype), (len(x), 1, x.shape[-1]))
        x = jnp.concatenate([cls, x], 1) + self.position[...].astype(x.dtype)
        return scan_layers(self.layers, self.norm(x))


class TextTrunk(nnx.Module):
    """Causal text transformer up to the states behind its last layer."""

    def __init__(self, config: TextConfig, *, rngs: nnx.Rngs):
        self.words = _table(rngs, config.vocab_size, config.width)
        self.position = _table(rngs, config.context_length, config.width)
        self.layers = stack_layers(
            lambda rngs: Layer(config, rngs=rngs), config.depth, rngs
        )

    def __call__(self, ids: Int[Array, "B L"]) -> Float[Array, "B L D"]:
        """Return one state per token; a state sees its own token and earlier ones."""
        x = self.words[...][ids] + self.position[...]
        return scan_layers(self.layers, x, lambda layer, x: layer(x, causal=True))


class Clip(nnx.Module):
    """Pictures and texts to vectors whose cosine is their agreement."""

    def __init__(self, config: ClipConfig, *, rngs: nnx.Rngs):
        vision, text, size = config.vision, config.text, config.embed_dim
        self.vision = VisionTrunk(vision, rngs=rngs)
        self.vision_norm = _norm(vision.width, rngs)
        self.vision_head = nnx.Linear(vision.width, size, use_bias=False, rngs=rngs)
        self.text = TextTrunk(text, rngs=rngs)
        self.text_norm = _norm(text.width, rngs)
        self.text_head = nnx.Linear(text.width, size, use_bias=False, rngs=rngs)

    def embed_images(self, images: Float[Array, "B H W 3"]) -> Float[Array, "B E"]:
        """Embed normalised pictures; vectors are of any length."""
        return self.vision_head(self.vision_norm(self.vision(images)[:, 0]))

    def embed_texts(self, ids: Int[Array, "B L"]) -> Float[Array, "B E"]:
        """Embed texts, padded with 0; vectors are of any length.

        A text is read at its largest id, which the end token is.
        """
        end = jnp.argmax(ids, -1)[:, None, None]
        last = jnp.take_along_axis(self.text(ids), end, 1)[:, 0]
        return self.text_head(self.text_norm(last))

"""CLIP-FlanT5: does this image show the text? The likelihood of the answer "Yes".

Lin et al., "Evaluating Text-to-Visual Generation with Image-to-Text Generation", ECCV
2024 (t2v_metrics). Patch features of a CLIP vision encoder go through a two-layer
projector and take the place of one token in the prompt of a FlanT5.

Upstream: linzhiqiu/t2v_metrics, t2v_metrics/models/vqascore_models/clip_t5_model.py
(CLIPT5Model) and the package clip_t5/model beside it, on huggingface/transformers,
src/transformers/models/clip/modeling_clip.py.
"""

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Bool, Float, Int

from avits_jax.networks.t5.modeling import T5
from avits_jax.nn.activations import quick_gelu
from avits_jax.nn.attention import attend
from avits_jax.nn.patches import patchify
from avits_jax.nn.stacking import scan_layers, stack_layers
from avits_jax.verifiers.vqa_score.config import ClipVisionConfig, VQAScoreConfig


class ClipLayer(nnx.Module):
    """Pre-norm transformer layer of CLIP."""

    def __init__(self, config: ClipVisionConfig, *, rngs: nnx.Rngs):
        width, hidden = config.hidden_size, config.intermediate_size
        self.heads = config.num_attention_heads
        self.norm1 = nnx.LayerNorm(width, epsilon=1e-5, rngs=rngs)
        self.q = nnx.Linear(width, width, rngs=rngs)
        self.k = nnx.Linear(width, width, rngs=rngs)
        self.v = nnx.Linear(width, width, rngs=rngs)
        self.out = nnx.Linear(width, width, rngs=rngs)
        self.norm2 = nnx.LayerNorm(width, epsilon=1e-5, rngs=rngs)
        self.fc1 = nnx.Linear(width, hidden, rngs=rngs)
        self.fc2 = nnx.Linear(hidden, width, rngs=rngs)

    def __call__(self, x: Float[Array, "B L D"]) -> Float[Array, "B L D"]:
        y = self.norm1(x)
        shape = (*x.shape[:2], self.heads, -1)
        query, key, value = (f(y).reshape(shape) for f in (self.q, self.k, self.v))
        x = x + self.out(attend(query, key, value).reshape(x.shape))
        return x + self.fc2(quick_gelu(self.fc1(self.norm2(x))))


class ClipVisionEncoder(nnx.Module):
    """CLIP's vision transformer up to the states before its last layer."""

    def __init__(self, config: ClipVisionConfig, *, rngs: nnx.Rngs):
        width, self.patch = config.hidden_size, config.patch_size
        self.embed = nnx.Linear(3 * self.patch**2, width, use_bias=False, rngs=rngs)
        self.cls = nnx.Param(jax.random.normal(rngs.params(), (width,)))
        positions = (config.num_patches + 1, width)
        self.position = nnx.Param(0.02 * jax.random.normal(rngs.params(), positions))
        self.norm = nnx.LayerNorm(width, epsilon=1e-5, rngs=rngs)
        self.layers = stack_layers(
            lambda r: ClipLayer(config, rngs=r), config.num_hidden_layers - 1, rngs
        )

    def __call__(self, images: Float[Array, "B H W 3"]) -> Float[Array, "B P D"]:
        """Return one state per patch of normalised images, row by row."""
        images = images.astype(self.embed.kernel.dtype)
        x = self.embed(patchify(images, self.patch))
        cls = jnp.broadcast_to(self.cls[...].astype(x.dtype), (len(x), 1, x.shape[-1]))
        x = jnp.concatenate([cls, x], 1) + self.position[...].astype(x.dtype)
        return scan_layers(self.layers, self.norm(x))[:, 1:]


class Projector(nnx.Module):
    """Patch states to the width of the language model."""

    def __init__(self, inputs: int, outputs: int, *, rngs: nnx.Rngs):
        self.fc1 = nnx.Linear(inputs, outputs, rngs=rngs)
        self.fc2 = nnx.Linear(outputs, outputs, rngs=rngs)

    def __call__(self, x: Float[Array, "B P C"]) -> Float[Array, "B P D"]:
        return self.fc2(jax.nn.gelu(self.fc1(x), approximate=False))


class VQAScore(nnx.Module):
    """Vision encoder, projector and language model."""

    def __init__(self, config: VQAScoreConfig, *, rngs: nnx.Rngs):
        self.config = config
        self.vision = ClipVisionEncoder(config.clip, rngs=rngs)
        self.projector = Projector(
            config.clip.hidden_size, config.t5.d_model, rngs=rngs
        )
        self.language = T5(config.t5, rngs=rngs)

    def embed_images(self, images: Float[Array, "B H W 3"]) -> Float[Array, "B P D"]:
        """Embed normalised images as the language model reads them."""
        return self.projector(self.vision(images))

    def encode(
        self, ids: Int[Array, "B L"], features: Float[Array, "B P D"]
    ) -> tuple[Float[Array, "B M D"], Bool[Array, "B M"]]:
        """Encode prompts with the image in the place of the image token.

        Args:
            ids: prompts with one image token each, padded at their end.
            features: what `embed_images` gave.

        Returns:
            Encoder states and their mask, M = L - 1 + P.
        """
        text = self.language.embed(jnp.maximum(ids, 0))
        at = jnp.argmax(ids == self.config.image_token, 1)
        x = splice(text, features.astype(text.dtype), at)
        # Padding is at the end, so it keeps its place when the image comes before it.
        image = jnp.ones((len(ids), features.shape[1] - 1), bool)
        mask = jnp.concatenate([image, ids != self.config.pad_token], 1)
        return self.language.encode(x, mask), mask

    def __call__(
        self,
        images: Float[Array, "B H W 3"],
        ids: Int[Array, "B L"],
        answer: Int[Array, "B T"],
    ) -> Float[Array, "B T V"]:
        """Return logits at every token of the answer, given those before it."""
        context, mask = self.encode(ids, self.embed_images(images))
        start = jnp.full_like(answer[:, :1], self.config.pad_token)
        inputs = jnp.concatenate([start, answer[:, :-1]], 1)
        return self.language.decode(inputs, context, mask)


def splice(
    text: Float[Array, "B L D"], image: Float[Array, "B P D"], at: Int[Array, " B"]
) -> Float[Array, "B M D"]:
    """Replace position ``at`` of each text by all rows of its image, M = L - 1 + P."""
    length, rows = text.shape[1], image.shape[1]
    target = jnp.arange(length - 1 + rows)[None]
    start = at[:, None]
    after = jnp.where(target < start, target, target - rows + 1)
    inside = (target >= start) & (target < start + rows)
    source = jnp.where(inside, length + target - start, after)
    both = jnp.concatenate([text, image], 1)
    return jnp.take_along_axis(both, source[:, :, None], 1)


def answer_likelihood(
    logits: Float[Array, "B T V"], answer: Int[Array, "B T"]
) -> Float[Array, " B"]:
    """Return exp(-mean cross-entropy): the geometric mean of the answer's tokens.

    In (0, 1]. With the answer "Yes" and the end token it is
    sqrt(p(Yes) p(end | Yes)), not p(Yes).
    """
    log_probs = jax.nn.log_softmax(logits.astype(jnp.float32))
    taken = jnp.take_along_axis(log_probs, answer[:, :, None], 2)[:, :, 0]
    return jnp.exp(jnp.mean(taken, 1))

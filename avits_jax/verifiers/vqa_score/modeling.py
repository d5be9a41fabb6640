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

from avits_jax.networks.clip.modeling import VisionTrunk
from avits_jax.networks.t5.modeling import T5
from avits_jax.verifiers.vqa_score.config import VQAScoreConfig


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
        self.vision = VisionTrunk(config.clip.trunk, rngs=rngs)
        self.projector = Projector(
            config.clip.hidden_size, config.t5.d_model, rngs=rngs
        )
        self.language = T5(config.t5, rngs=rngs)

    def embed_images(self, images: Float[Array, "B H W 3"]) -> Float[Array, "B P D"]:
        """Embed normalised images as the language model reads them."""
        return self.projector(self.vision(images)[:, 1:])

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

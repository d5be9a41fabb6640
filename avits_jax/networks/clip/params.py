"""Names of CLIP's published weights in both layouts, mapped onto ours.

The layouts share no name of a weight, so that the rules of both stand side by side:
transformers' (``pytorch_model.bin`` or ``model.safetensors`` of
openai/clip-vit-base-patch32) and OpenAI's own, with queries, keys and values in one
matrix and projections stored as they are applied.
"""

from functools import cache, partial

import numpy as np
from flax import nnx

from avits_jax.networks.clip.config import ClipConfig
from avits_jax.networks.clip.modeling import Clip
from avits_jax.nn.abstract import abstract
from avits_jax.nn.patches import patch_kernel
from avits_jax.types import PyTree
from avits_jax.weights.name_map import Rule, linear, norm, prefixed

_ATTENTION = ("q", "k", "v")


def _third(stacked: np.ndarray, index: int) -> np.ndarray:
    """Return one third of the rows, transposed where they are a matrix."""
    return np.split(stacked, 3)[index].T


_LAYER = (
    *norm("layer_norm1", "norm1"),
    *(rule for name in _ATTENTION for rule in linear(f"self_attn.{name}_proj", name)),
    *linear("self_attn.out_proj", "out"),
    *norm("layer_norm2", "norm2"),
    *linear("mlp.fc1", "fc1"),
    *linear("mlp.fc2", "fc2"),
)
_LAYERS = prefixed(_LAYER, "encoder.layers.{layer}.", "layers.")

VISION_TRUNK: tuple[Rule, ...] = (
    Rule("embeddings.class_embedding", "cls"),
    Rule("embeddings.patch_embedding.weight", "embed.kernel", patch_kernel),
    Rule("embeddings.position_embedding.weight", "position"),
    *norm("pre_layrnorm", "norm"),
    *_LAYERS,
)
"""Rules of `VisionTrunk` in transformers' names."""

TRANSFORMERS: tuple[Rule, ...] = (
    *prefixed(VISION_TRUNK, "vision_model.", "vision."),
    *norm("vision_model.post_layernorm", "vision_norm"),
    Rule("visual_projection.weight", "vision_head.kernel", "linear"),
    Rule("text_model.embeddings.token_embedding.weight", "text.words"),
    Rule("text_model.embeddings.position_embedding.weight", "text.position"),
    *prefixed(_LAYERS, "text_model.", "text."),
    *norm("text_model.final_layer_norm", "text_norm"),
    Rule("text_projection.weight", "text_head.kernel", "linear"),
)

_OPENAI_LAYER = (
    *norm("ln_1", "norm1"),
    *(
        Rule(f"attn.in_proj_{kind}", f"{name}.{ours}", partial(_third, index=index))
        for index, name in enumerate(_ATTENTION)
        for kind, ours in (("weight", "kernel"), ("bias", "bias"))
    ),
    *linear("attn.out_proj", "out"),
    *norm("ln_2", "norm2"),
    *linear("mlp.c_fc", "fc1"),
    *linear("mlp.c_proj", "fc2"),
)
_OPENAI_LAYERS = prefixed(_OPENAI_LAYER, "transformer.resblocks.{layer}.", "layers.")

OPENAI: tuple[Rule, ...] = (
    Rule("visual.class_embedding", "vision.cls"),
    Rule("visual.conv1.weight", "vision.embed.kernel", patch_kernel),
    Rule("visual.positional_embedding", "vision.position"),
    *norm("visual.ln_pre", "vision.norm"),
    *prefixed(_OPENAI_LAYERS, "visual.", "vision."),
    *norm("visual.ln_post", "vision_norm"),
    Rule("visual.proj", "vision_head.kernel"),
    Rule("token_embedding.weight", "text.words"),
    Rule("positional_embedding", "text.position"),
    *prefixed(_OPENAI_LAYERS, "", "text."),
    *norm("ln_final", "text_norm"),
    Rule("text_projection", "text_head.kernel"),
)

RULES: tuple[Rule, ...] = (*TRANSFORMERS, *OPENAI)

IGNORED: dict[str, str] = {
    "logit_scale": "the score is the cosine itself",
    "{encoder}_model.embeddings.position_ids": "positions are counted where used",
    "input_resolution": "the sizes are known",
    "context_length": "the sizes are known",
    "vocab_size": "the sizes are known",
}


@cache
def build(config: ClipConfig) -> tuple[nnx.GraphDef, PyTree]:
    """Return the network's graph, and its parameters as shapes without memory."""
    return abstract(lambda rngs: Clip(config, rngs=rngs))

"""Names of the published CLAP weights (laion/clap-htsat-unfused), mapped onto ours."""

from functools import cache

from flax import nnx

from avits_jax.nn.abstract import abstract
from avits_jax.types import PyTree
from avits_jax.verifiers.clap.config import ClapConfig
from avits_jax.verifiers.clap.modeling import Clap
from avits_jax.weights.name_map import (
    Rule,
    batch_norm,
    conv,
    embedding,
    linear,
    norm,
    prefixed,
)

_TEXT = (
    *embedding("embeddings.word_embeddings", "words"),
    *embedding("embeddings.position_embeddings", "positions"),
    *embedding("embeddings.token_type_embeddings", "kinds"),
    *norm("embeddings.LayerNorm", "norm"),
    *prefixed(
        (
            *linear("attention.self.{part}", "{part}"),
            *linear("attention.output.dense", "out"),
            *norm("attention.output.LayerNorm", "norm1"),
            *linear("intermediate.dense", "up"),
            *linear("output.dense", "down"),
            *norm("output.LayerNorm", "norm2"),
        ),
        source="encoder.layer.{layer}.",
        target="blocks.",
    ),
    *linear("pooler.dense", "pooler"),
)

_BLOCK = (
    *norm("layernorm_before", "norm1"),
    *linear("attention.self.{part}", "attention.{part}"),
    Rule("attention.self.relative_position_bias_table", "attention.position_bias"),
    *linear("attention.output.dense", "attention.out"),
    *norm("layernorm_after", "norm2"),
    *linear("intermediate.dense", "up"),
    *linear("output.dense", "down"),
)

_AUDIO = (
    *batch_norm("batch_norm", "mel_norm"),
    *conv("patch_embed.proj", "patch"),
    *norm("patch_embed.norm", "patch_norm"),
    *prefixed(_BLOCK, "layers.{stage}.blocks.{layer}.", "stages.{stage}.blocks."),
    *linear("layers.{stage}.downsample.reduction", "stages.{stage}.merge.reduction"),
    *norm("layers.{stage}.downsample.norm", "stages.{stage}.merge.norm"),
    *norm("norm", "norm"),
)

RULES: tuple[Rule, ...] = (
    *prefixed(_TEXT, "text_model.", "text."),
    *prefixed(_AUDIO, "audio_model.audio_encoder.", "audio."),
    *linear("{encoder}_projection.linear1", "{encoder}_out.first"),
    *linear("{encoder}_projection.linear2", "{encoder}_out.second"),
)

IGNORED: dict[str, str] = {
    "logit_scale_{encoder}": "the score is the cosine itself",
    "text_model.embeddings.position_ids": "positions are counted where they are used",
    "text_model.embeddings.token_type_ids": "there is one kind of token",
    "audio_model.audio_encoder.batch_norm.num_batches_tracked": "training only",
    "audio_model.audio_encoder.layers.{stage}.blocks.{layer}.attention.self."
    "relative_position_index": "made where it is used",
}


@cache
def build(config: ClapConfig) -> tuple[nnx.GraphDef, PyTree]:
    """Return the network's graph, and its parameters as shapes without memory."""
    return abstract(lambda rngs: Clap(config, rngs=rngs))

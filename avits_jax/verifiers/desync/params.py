"""Where Synchformer's published weights go."""

from functools import cache

import numpy as np
from flax import nnx

from avits_jax.nn.abstract import abstract
from avits_jax.nn.patches import patch_kernel
from avits_jax.nn.vit import token_rows
from avits_jax.types import PyTree
from avits_jax.verifiers.desync.config import SynchformerConfig
from avits_jax.verifiers.desync.modeling import Synchformer
from avits_jax.weights.name_map import Rule, linear, norm, prefixed

SYNCHFORMER_IGNORED = {
    "vfeat_extractor.patch_embed.proj.{name}": "the patches of single frames, not used"
}


def _join_kernels(*weights: np.ndarray) -> np.ndarray:
    """Join linear weights ``[out, in]`` to one kernel, side by side."""
    return np.concatenate(weights).T


def _join_biases(*biases: np.ndarray) -> np.ndarray:
    return np.concatenate(biases)


def _joined(source: str, names: tuple[str, str, str], target: str) -> tuple[Rule, ...]:
    """Map separate query, key and value projections to one."""
    weights = tuple(f"{source}.{name}.weight" for name in names)
    biases = tuple(f"{source}.{name}.bias" for name in names)
    return (
        Rule(weights, f"{target}.kernel", _join_kernels),
        Rule(biases, f"{target}.bias", _join_biases),
    )


_POOL = (
    Rule("cls_token", "cls", token_rows),
    *norm("norm1", "block.norm1"),
    Rule("self_attn.in_proj_weight", "block.attention.qkv.kernel", "linear"),
    Rule("self_attn.in_proj_bias", "block.attention.qkv.bias"),
    *linear("self_attn.out_proj", "block.attention.out"),
    *norm("norm2", "block.norm2"),
    *linear("linear1", "block.mlp.fc1"),
    *linear("linear2", "block.mlp.fc2"),
)
_VIDEO = (
    Rule("patch_embed_3d.proj.weight", "embed.kernel", patch_kernel),
    Rule("patch_embed_3d.proj.bias", "embed.bias"),
    Rule("cls_token", "cls", token_rows),
    Rule("pos_embed", "space", token_rows),
    Rule("temp_embed", "time", token_rows),
    *norm("norm", "norm"),
    *prefixed(_POOL, "spatial_attn_agg.", "pool."),
    *prefixed(
        (
            *norm("norm3", "norm_time"),
            *linear("timeattn.qkv", "time.qkv"),
            *linear("timeattn.proj", "time.out"),
            *norm("norm1", "norm_space"),
            *linear("attn.qkv", "space.qkv"),
            *linear("attn.proj", "space.out"),
            *norm("norm2", "norm_mlp"),
            *linear("mlp.fc1", "mlp.fc1"),
            *linear("mlp.fc2", "mlp.fc2"),
        ),
        "blocks.{layer}.",
        "blocks.",
    ),
)
_AST = (
    Rule("embeddings.patch_embeddings.projection.weight", "embed.kernel", patch_kernel),
    Rule("embeddings.patch_embeddings.projection.bias", "embed.bias"),
    Rule(("embeddings.cls_token", "embeddings.distillation_token"), "cls", token_rows),
    Rule("embeddings.position_embeddings", "position", token_rows),
    *norm("layernorm", "norm"),
    *prefixed(
        (
            *norm("layernorm_before", "norm1"),
            *_joined("attention.attention", ("query", "key", "value"), "attention.qkv"),
            *linear("attention.output.dense", "attention.out"),
            *norm("layernorm_after", "norm2"),
            *linear("intermediate.dense", "mlp.fc1"),
            *linear("output.dense", "mlp.fc2"),
        ),
        "encoder.layer.{layer}.",
        "blocks.",
    ),
)
_HEAD = (
    Rule("OFF_tok", "offset", token_rows),
    Rule("MOD_tok", "between", token_rows),
    Rule("pos_emb_cfg.pos_emb", "position", token_rows),
    *norm("vis_in_lnorm", "video_norm"),
    *norm("aud_in_lnorm", "audio_norm"),
    *norm("ln_f", "norm"),
    *linear("off_head", "head"),
    *prefixed(
        (
            *norm("ln1", "norm1"),
            *_joined("attn", ("query", "key", "value"), "attention.qkv"),
            *linear("attn.proj", "attention.out"),
            *norm("ln2", "norm2"),
            *linear("mlp.0", "mlp.fc1"),
            *linear("mlp.2", "mlp.fc2"),
        ),
        "blocks.{layer}.",
        "blocks.",
    ),
)
SYNCHFORMER_RULES = (
    *prefixed(_VIDEO, "vfeat_extractor.", "video."),
    *prefixed(_AST, "afeat_extractor.ast.", "audio."),
    *prefixed(_POOL, "afeat_extractor.freq_attn_agg.", "audio.pool."),
    *linear("vproj", "video_out"),
    *linear("aproj", "audio_out"),
    *prefixed(_HEAD, "transformer."),
)


@cache
def build(config: SynchformerConfig) -> tuple[nnx.GraphDef, PyTree]:
    """Return the network's graph, and its parameters as shapes without memory."""
    return abstract(lambda rngs: Synchformer(config, rngs=rngs))

"""Names of ImageBind's published weights (``imagebind_huge.pth``), mapped onto ours."""

from functools import cache

import numpy as np
from flax import nnx

from avits_jax.networks.imagebind.config import ImageBindConfig
from avits_jax.networks.imagebind.modeling import ImageBind
from avits_jax.nn.abstract import abstract
from avits_jax.types import PyTree
from avits_jax.weights.name_map import Rule, linear, norm, prefixed

_ENCODERS = ("vision", "audio", "text")
_DROPPED = ("depth", "thermal", "imu")


def _flat(value: np.ndarray) -> np.ndarray:
    """Flatten ``[1, 1, D]`` to ``[D]``."""
    return value.reshape(-1)


def _first(value: np.ndarray) -> np.ndarray:
    """Take ``[L, D]`` out of ``[1, L, D]``."""
    return value[0]


def _pair(key: np.ndarray, value: np.ndarray) -> np.ndarray:
    """Stack two ``[1, 1, D]`` to ``[2, D]``."""
    return np.stack([_flat(key), _flat(value)])


_BLOCK = (
    *norm("norm_1", "norm1"),
    Rule("attn.in_proj_weight", "attention.qkv.kernel", "linear"),
    Rule("attn.in_proj_bias", "attention.qkv.bias"),
    *linear("attn.out_proj", "attention.out"),
    *norm("norm_2", "norm2"),
    *linear("mlp.fc1", "up"),
    *linear("mlp.fc2", "down"),
)
_EXTRA_KEY = (Rule(("attn.bias_k", "attn.bias_v"), "attention.extra", _pair),)


def _blocks(encoder: str, rules: tuple[Rule, ...]) -> tuple[Rule, ...]:
    source = f"modality_trunks.{encoder}.blocks.{{layer}}."
    return prefixed(rules, source, f"{encoder}.trunk.blocks.")


def _head(encoder: str, source: str, last: int) -> tuple[Rule, ...]:
    return (
        *norm(f"modality_heads.{encoder}.{source}0", f"{encoder}.norm"),
        Rule(
            f"modality_heads.{encoder}.{source}{last}.weight",
            f"{encoder}.head.kernel",
            "linear",
        ),
    )


RULES: tuple[Rule, ...] = (
    *(rule for encoder in _ENCODERS for rule in _blocks(encoder, _BLOCK)),
    *_blocks("audio", _EXTRA_KEY),
    *_head("vision", "", 2),
    *_head("audio", "", 2),
    *_head("text", "proj.", 1),
    *norm("modality_trunks.vision.pre_transformer_layer.0", "vision.pre_norm"),
    *prefixed(
        (
            Rule("vision.rgbt_stem.proj.1.weight", "vision.stem", "conv"),
            Rule("vision.cls_token", "vision.cls", _flat),
            Rule("vision.pos_embedding_helper.pos_embed", "vision.position", _first),
            Rule("audio.rgbt_stem.proj.weight", "audio.stem.kernel", "conv"),
            *norm("audio.rgbt_stem.norm_layer", "audio.stem_norm"),
            Rule("audio.cls_token", "audio.cls", _flat),
            Rule("audio.pos_embedding_helper.pos_embed", "audio.position", _first),
            Rule("text.token_embedding.weight", "text.embed"),
            Rule("text.pos_embed", "text.position", _first),
        ),
        source="modality_preprocessors.",
    ),
    Rule("modality_postprocessors.{encoder}.1.log_logit_scale", "{encoder}.log_scale"),
)


def _dropped(encoder: str) -> tuple[str, ...]:
    """Return patterns of every key of an encoder that no verifier uses."""
    blocks = (*_blocks(encoder, _BLOCK), *_blocks(encoder, _EXTRA_KEY))
    before = f"modality_preprocessors.{encoder}."
    return (
        *(pattern for rule in blocks for pattern in rule.sources),
        before + "cls_token",
        before + "pos_embed",
        before + "pos_embedding_helper.pos_embed",
        before + "{stem}.proj.weight",
        before + "{stem}.norm_layer.{kind}",
        f"modality_heads.{encoder}.{{layer}}.{{kind}}",
        f"modality_postprocessors.{encoder}.1.log_logit_scale",
    )


IGNORED: dict[str, str] = {
    "modality_preprocessors.text.mask": "the causal mask is made where it is used",
    **{
        pattern: f"no verifier uses the {encoder} encoder"
        for encoder in _DROPPED
        for pattern in _dropped(encoder)
    },
}


@cache
def build(config: ImageBindConfig) -> tuple[nnx.GraphDef, PyTree]:
    """Return the network's graph, and its parameters as shapes without memory."""

    return abstract(lambda rngs: ImageBind(config, rngs=rngs))

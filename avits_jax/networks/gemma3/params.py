"""Where the weights of a published Gemma-3 go in `modeling`."""

from functools import cache

from flax import nnx

from avits_jax.networks.gemma3.config import Gemma3Config
from avits_jax.networks.gemma3.modeling import Gemma3
from avits_jax.nn.abstract import abstract
from avits_jax.types import PyTree
from avits_jax.weights.name_map import Rule, embedding, linear, prefixed

PREFIXES = ("", "model.", "language_model.model.", "model.language_model.")
"""What files put before the text model's names: nothing, a text model with its head,
and models with pictures as they were published and as transformers saves them now."""

_NORMS = {
    "input_layernorm": "attention_norm",
    "post_attention_layernorm": "attended_norm",
    "pre_feedforward_layernorm": "feed_norm",
    "post_feedforward_layernorm": "fed_norm",
    "self_attn.q_norm": "q_norm",
    "self_attn.k_norm": "k_norm",
}
_MATRICES = {
    **{f"self_attn.{name}_proj": name for name in ("q", "k", "v", "o")},
    **{f"mlp.{name}_proj": name for name in ("gate", "up", "down")},
}
_BARE = (
    *embedding("embed_tokens", "embed"),
    *(
        rule
        for source, target in _MATRICES.items()
        for rule in linear(f"layers.{{layer}}.{source}", f"layers.{target}")
    ),
    *(
        Rule(f"layers.{{layer}}.{source}.weight", f"layers.{target}.offset")
        for source, target in _NORMS.items()
    ),
    Rule("norm.weight", "norm.offset"),
)

RULES: tuple[Rule, ...] = tuple(
    rule for prefix in PREFIXES for rule in prefixed(_BARE, prefix)
)

_HEAD = "the output head; only hidden states are read"
_PICTURES = "the encoder of pictures; only text is read"


def _below(name: str) -> tuple[str, ...]:
    """Return patterns of all names below one, up to twelve parts deep."""
    parts = ("{a}", *(f"{{a{i}}}" for i in range(11)))
    return tuple(".".join((name, *parts[:depth])) for depth in range(1, 13))


IGNORED: dict[str, str] = {
    "lm_head.weight": _HEAD,
    "language_model.lm_head.weight": _HEAD,
    **{
        pattern: _PICTURES
        for prefix in ("", "model.")
        for name in ("vision_tower", "multi_modal_projector")
        for pattern in _below(prefix + name)
    },
}


@cache
def build(config: Gemma3Config) -> tuple[nnx.GraphDef, PyTree]:
    """Return the network's graph, and its parameters as shapes without memory."""
    return abstract(lambda rngs: Gemma3(config, rngs=rngs))

"""Where the weights of a Hugging Face T5 v1.1 go in `modeling`."""

from avits_jax.weights.name_map import Rule, embedding, linear, norm, prefixed

_ATTENTION = ("q", "k", "v", "o")
_FEED = ("wi_0", "wi_1", "wo")


def _attention(source: str, target: str) -> tuple[Rule, ...]:
    rules = (linear(f"{source}.{name}", f"{target}.{name}") for name in _ATTENTION)
    return tuple(rule for group in rules for rule in group)


def _feed(source: str, target: str) -> tuple[Rule, ...]:
    rules = (linear(f"{source}.{name}", f"{target}.{name}") for name in _FEED)
    return tuple(rule for group in rules for rule in group)


def _stack(name: str) -> tuple[Rule, ...]:
    """Return the rules that encoder and decoder have in common."""
    first = f"{name}.block.0.layer.0.SelfAttention.relative_attention_bias"
    layer = f"{name}.block.{{layer}}.layer.0"
    return (
        *embedding(first, f"{name}.position.table"),
        *_attention(f"{layer}.SelfAttention", f"{name}.layers.attention"),
        *norm(f"{layer}.layer_norm", f"{name}.layers.attention_norm"),
        *norm(f"{name}.final_layer_norm", f"{name}.norm"),
        # Files hold the shared embedding under up to three more names.
        Rule(f"{name}.embed_tokens.weight", "embed.embedding", fallback=True),
    )


def encoder_rules(prefix: str = "", target: str = "") -> tuple[Rule, ...]:
    """Return the rules of `T5Encoder`; ``prefix`` and ``target`` go before names."""
    layer = "encoder.block.{layer}.layer.1"
    rules = (
        *embedding("shared", "embed"),
        *_stack("encoder"),
        *_feed(f"{layer}.DenseReluDense", "encoder.layers.feed"),
        *norm(f"{layer}.layer_norm", "encoder.layers.feed_norm"),
    )
    return prefixed(rules, prefix, target)


def t5_rules(prefix: str = "", target: str = "") -> tuple[Rule, ...]:
    """Return the rules of `T5`, encoder and decoder."""
    layer = "decoder.block.{layer}.layer"
    rules = (
        *_stack("decoder"),
        *_attention(f"{layer}.1.EncDecAttention", "decoder.layers.cross"),
        *norm(f"{layer}.1.layer_norm", "decoder.layers.cross_norm"),
        *_feed(f"{layer}.2.DenseReluDense", "decoder.layers.feed"),
        *norm(f"{layer}.2.layer_norm", "decoder.layers.feed_norm"),
        *linear("lm_head", "head"),
        Rule("embed_tokens.weight", "embed.embedding", fallback=True),
    )
    return (*encoder_rules(prefix, target), *prefixed(rules, prefix, target))


_DECODER = "the decoder of the full T5; only the encoder is used"
DECODER_IGNORED = {
    "decoder.embed_tokens.weight": _DECODER,
    "decoder.final_layer_norm.weight": _DECODER,
    "decoder.block.{layer}.layer.{part}.layer_norm.weight": _DECODER,
    "decoder.block.{layer}.layer.{part}.{kind}.{name}.weight": _DECODER,
    "lm_head.weight": _DECODER,
}

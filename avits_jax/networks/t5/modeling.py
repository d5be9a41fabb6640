"""T5 v1.1: encoder and decoder with relative position biases and gated GELU.

Raffel et al., arXiv 1910.10683, in the v1.1 form (Shazeer, arXiv 2002.05202): no
biases in linear layers, RMS norms, attention without the usual 1/sqrt(D), one table of
position biases per stack, output embedding not tied.

Upstream: huggingface/transformers, src/transformers/models/t5/modeling_t5.py.
"""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Bool, Float, Int

from avits_jax.nn.embedding import Embedding
from avits_jax.nn.relative_positions import position_buckets
from avits_jax.nn.stacking import scan_layers, stack_layers


@dataclass(frozen=True)
class T5Config:
    """Sizes of a T5 v1.1; the defaults are those of the XXL model.

    Attributes:
        vocab_size: rows of the embedding.
        d_model: width of the residual stream.
        d_kv: width of one attention head.
        d_ff: hidden width of the feed-forward layers.
        num_layers: encoder layers.
        num_decoder_layers: decoder layers; not read by an encoder alone.
        num_heads: attention heads; ``num_heads * d_kv`` may differ from ``d_model``.
        num_buckets: rows of a table of position biases.
        max_distance: distance from which on all positions share a bucket.
        epsilon: of the RMS norms.
    """

    vocab_size: int = 32_128
    d_model: int = 4096
    d_kv: int = 64
    d_ff: int = 10_240
    num_layers: int = 24
    num_decoder_layers: int = 24
    num_heads: int = 64
    num_buckets: int = 32
    max_distance: int = 128
    epsilon: float = 1e-6


class PositionBias(nnx.Module):
    """A learned bias per head and bucket of distances, shared by a stack's layers."""

    def __init__(self, config: T5Config, *, causal: bool, rngs: nnx.Rngs):
        self.config = config
        self.causal = causal
        self.table = Embedding(config.num_buckets, config.num_heads, rngs=rngs)

    def __call__(self, length: int) -> Float[Array, "1 H L L"]:
        """Return the biases of attention among ``length`` positions."""
        config = self.config
        buckets = position_buckets(
            length, config.num_buckets, config.max_distance, causal=self.causal
        )
        return jnp.transpose(self.table(jnp.asarray(buckets)), (2, 0, 1))[None]


class T5Attention(nnx.Module):
    """Multi-head attention without biases and without scaling of the scores."""

    def __init__(self, config: T5Config, *, rngs: nnx.Rngs):
        inner = config.num_heads * config.d_kv
        self.heads = config.num_heads
        self.q = nnx.Linear(config.d_model, inner, use_bias=False, rngs=rngs)
        self.k = nnx.Linear(config.d_model, inner, use_bias=False, rngs=rngs)
        self.v = nnx.Linear(config.d_model, inner, use_bias=False, rngs=rngs)
        self.o = nnx.Linear(inner, config.d_model, use_bias=False, rngs=rngs)

    def __call__(
        self,
        x: Float[Array, "B Q D"],
        context: Float[Array, "B K D"],
        bias: Float[Array, "1 H Q K"] | None = None,
        mask: Bool[Array, "#B 1 #Q K"] | None = None,
    ) -> Float[Array, "B Q D"]:
        """Let ``x`` look at ``context`` where ``mask`` is True."""
        batch, length, _ = x.shape
        query = self.q(x).reshape(batch, length, self.heads, -1)
        key = self.k(context).reshape(batch, context.shape[1], self.heads, -1)
        value = self.v(context).reshape(key.shape)
        # Not `attend`, which has neither bias nor scale.
        out = jax.nn.dot_product_attention(query, key, value, bias, mask, scale=1.0)
        return self.o(out.reshape(batch, length, -1))


class GatedFeedForward(nnx.Module):
    """``wo(gelu(wi_0 x) * wi_1 x)`` with the tanh form of GELU."""

    def __init__(self, config: T5Config, *, rngs: nnx.Rngs):
        d_model, d_ff = config.d_model, config.d_ff
        self.wi_0 = nnx.Linear(d_model, d_ff, use_bias=False, rngs=rngs)
        self.wi_1 = nnx.Linear(d_model, d_ff, use_bias=False, rngs=rngs)
        self.wo = nnx.Linear(d_ff, d_model, use_bias=False, rngs=rngs)

    def __call__(self, x: Float[Array, "B L D"]) -> Float[Array, "B L D"]:
        return self.wo(jax.nn.gelu(self.wi_0(x), approximate=True) * self.wi_1(x))


class EncoderLayer(nnx.Module):
    """Pre-norm self-attention and feed-forward."""

    def __init__(self, config: T5Config, *, rngs: nnx.Rngs):
        self.attention_norm = _norm(config, rngs)
        self.attention = T5Attention(config, rngs=rngs)
        self.feed_norm = _norm(config, rngs)
        self.feed = GatedFeedForward(config, rngs=rngs)

    def __call__(self, x, bias, mask) -> Float[Array, "B L D"]:
        """Apply the layer; see `T5Attention` for ``bias`` and ``mask``."""
        y = self.attention_norm(x)
        x = x + self.attention(y, y, bias, mask)
        return x + self.feed(self.feed_norm(x))


class DecoderLayer(nnx.Module):
    """Pre-norm causal self-attention, attention to the encoder, feed-forward."""

    def __init__(self, config: T5Config, *, rngs: nnx.Rngs):
        self.attention_norm = _norm(config, rngs)
        self.attention = T5Attention(config, rngs=rngs)
        self.cross_norm = _norm(config, rngs)
        self.cross = T5Attention(config, rngs=rngs)
        self.feed_norm = _norm(config, rngs)
        self.feed = GatedFeedForward(config, rngs=rngs)

    def __call__(self, x, bias, causal, context, mask) -> Float[Array, "B L D"]:
        """Apply the layer.

        ``causal`` masks the own positions, ``mask`` those of ``context``.
        """
        y = self.attention_norm(x)
        x = x + self.attention(y, y, bias, causal)
        x = x + self.cross(self.cross_norm(x), context, mask=mask)
        return x + self.feed(self.feed_norm(x))


class EncoderStack(nnx.Module):
    """The encoder after its embedding."""

    def __init__(self, config: T5Config, *, rngs: nnx.Rngs):
        self.position = PositionBias(config, causal=False, rngs=rngs)
        self.layers = stack_layers(
            lambda r: EncoderLayer(config, rngs=r), config.num_layers, rngs
        )
        self.norm = _norm(config, rngs)

    def __call__(
        self, x: Float[Array, "B L D"], mask: Bool[Array, "B L"]
    ) -> Float[Array, "B L D"]:
        """Encode embeddings; positions where ``mask`` is False are not looked at."""
        bias = self.position(x.shape[1]).astype(x.dtype)
        seen = mask[:, None, None]
        x = scan_layers(self.layers, x, lambda layer, x: layer(x, bias, seen))
        return self.norm(x)


class DecoderStack(nnx.Module):
    """The decoder after its embedding, all positions at once."""

    def __init__(self, config: T5Config, *, rngs: nnx.Rngs):
        self.position = PositionBias(config, causal=True, rngs=rngs)
        self.layers = stack_layers(
            lambda r: DecoderLayer(config, rngs=r), config.num_decoder_layers, rngs
        )
        self.norm = _norm(config, rngs)

    def __call__(
        self,
        x: Float[Array, "B L D"],
        context: Float[Array, "B K D"],
        mask: Bool[Array, "B K"],
    ) -> Float[Array, "B L D"]:
        """Decode embeddings given encoder states ``context`` valid where ``mask``."""
        length = x.shape[1]
        bias = self.position(length).astype(x.dtype)
        causal = jnp.tril(jnp.ones((1, 1, length, length), bool))
        seen = mask[:, None, None]

        def call(layer, x):
            return layer(x, bias, causal, context, seen)

        return self.norm(scan_layers(self.layers, x, call))


class T5Encoder(nnx.Module):
    """T5's encoder with its embedding, as text encoder of a generator."""

    def __init__(self, config: T5Config, *, rngs: nnx.Rngs):
        self.embed = Embedding(config.vocab_size, config.d_model, rngs=rngs)
        self.encoder = EncoderStack(config, rngs=rngs)

    def __call__(
        self, ids: Int[Array, "B L"], mask: Bool[Array, "B L"]
    ) -> Float[Array, "B L D"]:
        """Encode token ids as states.

        Args:
            ids: token ids, padded to one length.
            mask: False at padding, which is then not looked at; states at padding are
                computed all the same.
        """
        return self.encoder(self.embed(ids), mask)


class T5(nnx.Module):
    """T5's encoder and decoder around one shared embedding."""

    def __init__(self, config: T5Config, *, rngs: nnx.Rngs):
        self.embed = Embedding(config.vocab_size, config.d_model, rngs=rngs)
        self.encoder = EncoderStack(config, rngs=rngs)
        self.decoder = DecoderStack(config, rngs=rngs)
        self.head = nnx.Linear(
            config.d_model,
            config.vocab_size,
            use_bias=False,
            # Rounded to bfloat16, logits near 16 would differ by 1/8 or not at all.
            preferred_element_type=jnp.float32,
            rngs=rngs,
        )

    def encode(
        self, embeddings: Float[Array, "B L D"], mask: Bool[Array, "B L"]
    ) -> Float[Array, "B L D"]:
        """Encode embeddings, of tokens or of anything else."""
        return self.encoder(embeddings, mask)

    def decode(
        self,
        ids: Int[Array, "B T"],
        context: Float[Array, "B L D"],
        mask: Bool[Array, "B L"],
    ) -> Float[Array, "B T V"]:
        """Return float32 logits of the token after each of ``ids``."""
        return self.head(self.decoder(self.embed(ids), context, mask))


def _norm(config: T5Config, rngs: nnx.Rngs) -> nnx.RMSNorm:
    return nnx.RMSNorm(config.d_model, epsilon=config.epsilon, rngs=rngs)

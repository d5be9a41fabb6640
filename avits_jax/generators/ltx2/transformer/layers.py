"""The layers of the transformer's blocks and ends.

Matrix products are in the dtype of what comes in, whatever the weights are stored in
(float8 among them); norms, modulation, gates and embedded noise levels in float32.

Upstream: huggingface/diffusers 0.42.1, models/transformers/transformer_ltx2.py
(LTX2Attention, LTX2AdaLayerNormSingle, apply_split_rotary_emb), models/attention.py
(FeedForward) and models/embeddings.py (TimestepEmbedding, PixArtAlphaTextProjection).
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Bool, Float, Int

from avits_jax.generators.ltx2.transformer.rotary import Rotary
from avits_jax.nn.attention import attend
from avits_jax.nn.linear import linear
from avits_jax.nn.positions import embed_number
from avits_jax.nn.rotary import turn

NUMBER_WIDTH = 256
# Layers of few rows, or whose results act on everything: exact even where that is slow.
EXACT = jax.lax.Precision.HIGHEST


class Mlp(nnx.Module):
    """Two linear layers with tanh-approximated GELU between them."""

    def __init__(self, inward: int, hidden: int, outward: int, *, rngs: nnx.Rngs):
        self.up = linear(inward, hidden, rngs=rngs)
        self.down = linear(hidden, outward, rngs=rngs)

    def __call__(self, x: Float[Array, "*B I"]) -> Float[Array, "*B O"]:
        return self.down(jax.nn.gelu(self.up(x), approximate=True))


class LevelEmbed(nnx.Module):
    """Rows of modulation from a noise level, in float32."""

    def __init__(self, width: int, num_rows: int, *, rngs: nnx.Rngs):
        self.num_rows = num_rows
        self.up = linear(NUMBER_WIDTH, width, precision=EXACT, rngs=rngs)
        self.down = linear(width, width, precision=EXACT, rngs=rngs)
        self.rows = linear(width, num_rows * width, precision=EXACT, rngs=rngs)

    def __call__(
        self, level: Float[Array, "*B"]
    ) -> tuple[Float[Array, "*B M D"], Float[Array, "*B D"]]:
        """Return the rows, and the embedded level that they are made of.

        Args:
            level: noise levels times the config's scale, in [0, 1000].
        """
        waves = embed_number(level, NUMBER_WIDTH)
        embedded = self.down(jax.nn.silu(self.up(waves)))
        rows = self.rows(jax.nn.silu(embedded))
        return rows.reshape(*level.shape, self.num_rows, -1), embedded


class KeyValue(NamedTuple):
    """Keys and values of what is attended to.

    Attributes:
        key: ``[B, K, H, D]``, or such arrays stacked along leading axes.
        value: the same shape.
    """

    key: Float[Array, "*B K H D"]
    value: Float[Array, "*B K H D"]


class Attention(nnx.Module):
    """Multi-head attention with normed queries and keys, and gated heads.

    Queries and keys are normed over all heads together.
    """

    def __init__(
        self,
        inward: int,
        context: int,
        heads: int,
        inner: int,
        *,
        gated: bool,
        epsilon: float,
        rngs: nnx.Rngs,
    ):
        """Build the layer.

        Args:
            inward: width of what asks, and of the output.
            context: width of what is attended to.
            heads: a divisor of ``inner``.
            inner: width of all heads together.
            gated: whether what asks gates the heads.
            epsilon: of the norms.
            rngs: of the weights.
        """
        self.heads = heads
        self.query = linear(inward, inner, rngs=rngs)
        self.key = linear(context, inner, rngs=rngs)
        self.value = linear(context, inner, rngs=rngs)
        self.out = linear(inner, inward, rngs=rngs)
        self.query_norm = nnx.RMSNorm(inner, epsilon=epsilon, rngs=rngs)
        self.key_norm = nnx.RMSNorm(inner, epsilon=epsilon, rngs=rngs)
        self.gate = linear(inward, heads, rngs=rngs) if gated else None

    def remember(
        self, context: Float[Array, "B K C"], rotary: Rotary | None = None
    ) -> KeyValue:
        """Return keys and values of a context."""
        key = self._split(self.key_norm(self.key(context)))
        key = key if rotary is None else turn(key, *rotary)
        return KeyValue(key, self._split(self.value(context)))

    def __call__(
        self,
        x: Float[Array, "B Q I"],
        memory: KeyValue,
        rotary: Rotary | None = None,
        *,
        lengths: Int[Array, " B"] | None = None,
        weights: Float[Array, "#B Q K"] | None = None,
        passed: Bool[Array, "B 1 1 1"] | None = None,
    ) -> Float[Array, "B Q I"]:
        """Attend to a memory of as many rows.

        Args:
            x: what asks.
            memory: of `remember`.
            rotary: turns of the queries; the memory has its own.
            lengths: how many leading keys each row looks at, at least 1; None for all.
            weights: in [0, 1], what every key's share is multiplied by before shares
                are made to sum to 1; not beside ``lengths``, and not fused.
            passed: rows that take the values as they are.
        """
        query = self._split(self.query_norm(self.query(x)))
        query = query if rotary is None else turn(query, *rotary)
        if weights is None:
            mixed = attend(query, *memory, lengths)
        else:
            mixed = _weighted(query, memory, weights)
        if passed is not None:
            mixed = jnp.where(passed, memory.value, mixed)
        if self.gate is not None:
            gate = 2 * jax.nn.sigmoid(self.gate(x).astype(jnp.float32))
            mixed = (mixed.astype(jnp.float32) * gate[..., None]).astype(x.dtype)
        return self.out(mixed.reshape(*x.shape[:2], -1))

    def _split(self, x: Float[Array, "B L W"]) -> Float[Array, "B L H D"]:
        return x.reshape(*x.shape[:2], self.heads, -1)


def _weighted(query: Array, memory: KeyValue, weights: Array) -> Array:
    """Attend by shares that are multiplied by weights: logits plus their logarithm."""
    floor = np.finfo(np.float32).tiny
    bias = jnp.log(jnp.maximum(weights.astype(jnp.float32), floor))
    bias = jnp.where(weights > 0, bias, np.finfo(np.float32).min)
    return jax.nn.dot_product_attention(
        query, *memory, bias=bias[:, None].astype(query.dtype)
    )

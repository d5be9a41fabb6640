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
from avits_jax.nn.positions import embed_number

NUMBER_WIDTH = 256
# Layers of few rows, or whose results act on everything: exact even where that is slow.
EXACT = jax.lax.Precision.HIGHEST


def rms_normalise(x: Float[Array, "*B D"], epsilon: float) -> Float[Array, "*B D"]:
    """Divide by the root of the mean square, in and to float32."""
    x = x.astype(jnp.float32)
    return x * jax.lax.rsqrt(jnp.mean(jnp.square(x), -1, keepdims=True) + epsilon)


class Linear(nnx.Module):
    """A linear layer in the dtype of its input; weights are cast where they are used.

    `flax.nnx.Linear` would go over to the wider dtype of the two, and refuses float8.
    """

    def __init__(
        self,
        inward: int,
        outward: int,
        *,
        precision: jax.lax.Precision | None = None,
        rngs: nnx.Rngs,
    ):
        init = nnx.initializers.lecun_normal()
        self.kernel = nnx.Param(init(rngs.params(), (inward, outward)))
        self.bias = nnx.Param(jnp.zeros((outward,)))
        self.precision = precision

    def __call__(self, x: Float[Array, "*B I"]) -> Float[Array, "*B O"]:
        kernel, bias = (w[...].astype(x.dtype) for w in (self.kernel, self.bias))
        return jnp.matmul(x, kernel, precision=self.precision) + bias


class Mlp(nnx.Module):
    """Two linear layers with tanh-approximated GELU between them."""

    def __init__(self, inward: int, hidden: int, outward: int, *, rngs: nnx.Rngs):
        self.up = Linear(inward, hidden, rngs=rngs)
        self.down = Linear(hidden, outward, rngs=rngs)

    def __call__(self, x: Float[Array, "*B I"]) -> Float[Array, "*B O"]:
        return self.down(jax.nn.gelu(self.up(x), approximate=True))


class LevelEmbed(nnx.Module):
    """Rows of modulation from a noise level, in float32."""

    def __init__(self, width: int, num_rows: int, *, rngs: nnx.Rngs):
        self.num_rows = num_rows
        self.up = Linear(NUMBER_WIDTH, width, precision=EXACT, rngs=rngs)
        self.down = Linear(width, width, precision=EXACT, rngs=rngs)
        self.rows = Linear(width, num_rows * width, precision=EXACT, rngs=rngs)

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
        self.query = Linear(inward, inner, rngs=rngs)
        self.key = Linear(context, inner, rngs=rngs)
        self.value = Linear(context, inner, rngs=rngs)
        self.out = Linear(inner, inward, rngs=rngs)
        self.query_norm = nnx.RMSNorm(inner, epsilon=epsilon, rngs=rngs)
        self.key_norm = nnx.RMSNorm(inner, epsilon=epsilon, rngs=rngs)
        self.gate = Linear(inward, heads, rngs=rngs) if gated else None

    def remember(
        self, context: Float[Array, "B K C"], rotary: Rotary | None = None
    ) -> KeyValue:
        """Return keys and values of a context."""
        key = turn(self.key_norm(self.key(context)), rotary)
        return KeyValue(self._split(key), self._split(self.value(context)))

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
        query = self._split(turn(self.query_norm(self.query(x)), rotary))
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


def turn(x: Float[Array, "B T W"], rotary: Rotary | None) -> Float[Array, "B T W"]:
    """Turn pairs of the halves of every head, in float32."""
    if rotary is None:
        return x
    heads = x.reshape(*x.shape[:2], rotary.cos.shape[1], -1).astype(jnp.float32)
    first, second = jnp.split(heads, 2, -1)
    cos, sin = rotary
    turned = (first * cos - second * sin, second * cos + first * sin)
    return jnp.concatenate(turned, -1).reshape(x.shape).astype(x.dtype)

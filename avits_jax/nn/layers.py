"""Transformer layers shared by mini's generator and verifiers."""

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float, Int

from avits_jax.nn.attention import attend, count_seen


class SelfAttention(nnx.Module):
    """Multi-head self-attention with one fused projection.

    Only the ``lengths`` leading positions are looked at, all without.
    """

    def __init__(self, width: int, heads: int, *, rngs: nnx.Rngs):
        self.heads = heads
        self.qkv = nnx.Linear(width, 3 * width, rngs=rngs)
        self.out = nnx.Linear(width, width, rngs=rngs)

    def __call__(
        self, x: Float[Array, "B L D"], lengths: Int[Array, " B"] | None = None
    ) -> Float[Array, "B L D"]:
        batch, length, width = x.shape
        shape = (batch, length, 3, self.heads, width // self.heads)
        q, k, v = jnp.moveaxis(self.qkv(x).reshape(shape), 2, 0)
        return self.out(attend(q, k, v, lengths).reshape(x.shape))


class Mlp(nnx.Module):
    """Two linear layers with GELU between them."""

    def __init__(self, width: int, hidden: int, *, rngs: nnx.Rngs):
        self.up = nnx.Linear(width, hidden, rngs=rngs)
        self.down = nnx.Linear(hidden, width, rngs=rngs)

    def __call__(self, x: Float[Array, "*B D"]) -> Float[Array, "*B D"]:
        return self.down(jax.nn.gelu(self.up(x)))


class Block(nnx.Module):
    """Pre-norm transformer block."""

    def __init__(self, width: int, heads: int, *, rngs: nnx.Rngs):
        self.norm1 = nnx.LayerNorm(width, rngs=rngs)
        self.attention = SelfAttention(width, heads, rngs=rngs)
        self.norm2 = nnx.LayerNorm(width, rngs=rngs)
        self.mlp = Mlp(width, 2 * width, rngs=rngs)

    def __call__(
        self, x: Float[Array, "B L D"], lengths: Int[Array, " B"] | None = None
    ) -> Float[Array, "B L D"]:
        x = x + self.attention(self.norm1(x), lengths)
        return x + self.mlp(self.norm2(x))


class TextEncoder(nnx.Module):
    """Word ids to one vector: embedding, positions, blocks, mean over the words."""

    def __init__(
        self, vocab: int, max_words: int, width: int, depth: int, *, rngs: nnx.Rngs
    ):
        self.embed = nnx.Embed(vocab, width, rngs=rngs)
        self.position = nnx.Param(
            0.02 * jax.random.normal(rngs.params(), (max_words, width))
        )
        self.blocks = nnx.List([Block(width, 2, rngs=rngs) for _ in range(depth)])
        self.norm = nnx.LayerNorm(width, rngs=rngs)

    def __call__(self, words: Int[Array, "B L"]) -> Float[Array, "B D"]:
        """Encode ``words`` padded with 0; padding alone gives a zero vector."""
        mask = words > 0
        x = self.embed(words) + self.position[...]
        # The first slot stays visible, so that padding alone has a finite softmax.
        lengths = jnp.maximum(count_seen(mask), 1)
        for block in self.blocks:
            x = block(x, lengths)
        kept = mask[..., None]
        return jnp.sum(self.norm(x) * kept, 1) / jnp.maximum(jnp.sum(kept, 1), 1)


def sinusoid(time: Float[Array, " B"], width: int) -> Float[Array, "B width"]:
    """Return a sinusoidal embedding of noise levels in [0, 1]."""
    freqs = jnp.exp(jnp.linspace(0.0, jnp.log(1000.0), width // 2))
    angle = time[:, None] * freqs
    return jnp.concatenate([jnp.sin(angle), jnp.cos(angle)], -1)

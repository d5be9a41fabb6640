"""RoBERTa (arXiv 1907.11692), the text encoder of CLAP: post-norm, with a tanh pooler.

Upstream: huggingface/transformers, src/transformers/models/clap/modeling_clap.py
(ClapTextModel).
"""

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Bool, Float, Int

from avits_jax.nn.attention import attend, count_seen
from avits_jax.nn.embedding import Embedding
from avits_jax.nn.stacking import scan_layers, stack_layers
from avits_jax.verifiers.clap.config import TextConfig


def _norm(width: int, rngs: nnx.Rngs) -> nnx.LayerNorm:
    return nnx.LayerNorm(width, epsilon=1e-12, use_fast_variance=False, rngs=rngs)


class TextBlock(nnx.Module):
    """Attention and feed-forward, each normalised after its residual."""

    def __init__(self, config: TextConfig, *, rngs: nnx.Rngs):
        width = config.width
        self.heads = config.heads
        self.query = nnx.Linear(width, width, rngs=rngs)
        self.key = nnx.Linear(width, width, rngs=rngs)
        self.value = nnx.Linear(width, width, rngs=rngs)
        self.out = nnx.Linear(width, width, rngs=rngs)
        self.norm1 = _norm(width, rngs)
        self.up = nnx.Linear(width, config.hidden, rngs=rngs)
        self.down = nnx.Linear(config.hidden, width, rngs=rngs)
        self.norm2 = _norm(width, rngs)

    def __call__(
        self, x: Float[Array, "B L D"], lengths: Int[Array, " B"]
    ) -> Float[Array, "B L D"]:
        shape = (*x.shape[:2], self.heads, -1)
        q, k, v = (f(x).reshape(shape) for f in (self.query, self.key, self.value))
        mixed = attend(q, k, v, lengths)
        x = self.norm1(x + self.out(mixed.reshape(x.shape)))
        return self.norm2(x + self.down(jax.nn.gelu(self.up(x), approximate=False)))


class TextEncoder(nnx.Module):
    """Token ids to one vector."""

    def __init__(self, config: TextConfig, *, rngs: nnx.Rngs):
        self.pad_id = config.pad_id
        self.words = Embedding(config.vocab_size, config.width, rngs=rngs)
        self.positions = Embedding(config.max_positions, config.width, rngs=rngs)
        self.kinds = Embedding(1, config.width, rngs=rngs)
        self.norm = _norm(config.width, rngs)
        self.blocks = stack_layers(
            lambda rngs: TextBlock(config, rngs=rngs), config.depth, rngs
        )
        self.pooler = nnx.Linear(config.width, config.width, rngs=rngs)

    def hidden(
        self, ids: Int[Array, "B L"], mask: Bool[Array, "B L"]
    ) -> Float[Array, "B L D"]:
        """Return tokens after the last block; none looks where ``mask`` is False.

        ``mask`` is False on padding, which is at the end.
        """
        kept = ids != self.pad_id
        position = self.pad_id + jnp.cumsum(kept, 1) * kept
        x = self.words(ids) + self.positions(position) + self.kinds(jnp.zeros_like(ids))
        lengths = count_seen(mask)
        return scan_layers(
            self.blocks, self.norm(x), call=lambda block, x: block(x, lengths)
        )

    def pool(self, hidden: Float[Array, "B L D"]) -> Float[Array, "B D"]:
        """Return a summary of the first token."""
        return jnp.tanh(self.pooler(hidden[:, 0]))

    def __call__(
        self, ids: Int[Array, "B L"], mask: Bool[Array, "B L"]
    ) -> Float[Array, "B D"]:
        """Return one vector per text."""
        return self.pool(self.hidden(ids, mask))

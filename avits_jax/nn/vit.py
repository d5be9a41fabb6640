"""The parts of vision transformers, as two or more networks have them.

Dosovitskiy et al., arXiv 2010.11929.

Upstream: huggingface/pytorch-image-models, timm/models/vision_transformer.py (Block).
"""

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Float

from avits_jax.nn.attention import attend


def prepend(first: Array, x: Float[Array, "B L D"]) -> Float[Array, "B M D"]:
    """Put the same learned tokens ``[n, D]`` before every sequence."""
    first = jnp.broadcast_to(first.astype(x.dtype), (len(x), *first.shape))
    return jnp.concatenate([first, x], 1)


class Mlp(nnx.Module):
    """Two linear layers with exact GELU between them."""

    def __init__(self, width: int, hidden: int, *, rngs: nnx.Rngs):
        self.fc1 = nnx.Linear(width, hidden, rngs=rngs)
        self.fc2 = nnx.Linear(hidden, width, rngs=rngs)

    def __call__(self, x: Float[Array, "B L D"]) -> Float[Array, "B L D"]:
        return self.fc2(jax.nn.gelu(self.fc1(x), approximate=False))


class Projections(nnx.Module):
    """Queries, keys and values by one projection, and the output's."""

    def __init__(self, width: int, heads: int, *, rngs: nnx.Rngs):
        self.heads = heads
        self.qkv = nnx.Linear(width, 3 * width, rngs=rngs)
        self.out = nnx.Linear(width, width, rngs=rngs)

    def split(self, x: Float[Array, "B L D"]) -> Float[Array, "3 B L H d"]:
        """Return queries, keys and values."""
        shape = (*x.shape[:2], 3, self.heads, -1)
        return jnp.moveaxis(self.qkv(x).reshape(shape), 2, 0)

    def join(self, x: Float[Array, "B L H d"]) -> Float[Array, "B L D"]:
        """Project the heads' results."""
        return self.out(x.reshape(*x.shape[:2], -1))


class Block(nnx.Module):
    """Pre-norm transformer block."""

    def __init__(
        self, width: int, heads: int, hidden: int, epsilon: float, *, rngs: nnx.Rngs
    ):
        self.norm1 = nnx.LayerNorm(width, epsilon=epsilon, rngs=rngs)
        self.attention = Projections(width, heads, rngs=rngs)
        self.norm2 = nnx.LayerNorm(width, epsilon=epsilon, rngs=rngs)
        self.mlp = Mlp(width, hidden, rngs=rngs)

    def __call__(
        self, x: Float[Array, "B L D"], num_queries: int | None = None
    ) -> Float[Array, "B Q D"]:
        """Return new states of the first ``num_queries`` tokens, of all by default."""
        query, key, value = self.attention.split(self.norm1(x))
        out = attend(query[:, :num_queries], key, value)
        x = x[:, :num_queries] + self.attention.join(out)
        return x + self.mlp(self.norm2(x))


def token_rows(*values: np.ndarray) -> np.ndarray:
    """Join ``[1, L, D]`` tables, one after the other, to ``[L, D]``."""
    return np.concatenate([value[0] for value in values])

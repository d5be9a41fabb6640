"""Gemma-3's text model: a causal transformer that is read at every layer.

Gemma Team, "Gemma 3 Technical Report", arXiv 2503.19786. Five layers of six see a
window of the tokens before, the sixth sees all of them at stretched positions.

Upstream: huggingface/transformers, src/transformers/models/gemma3/modeling_gemma3.py
(Gemma3TextModel). Rotary angles stay float32 where upstream rounds them to the dtype of
the states.
"""

from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Bool, Float, Int

from avits_jax.networks.gemma3.config import Gemma3Config
from avits_jax.nn.embedding import Embedding
from avits_jax.nn.linear import linear
from avits_jax.nn.rotary import rotary_frequencies, turn
from avits_jax.nn.stacking import scan_layers, stack_layers

Carry = TypeVar("Carry")


class Norm(nnx.Module):
    """RMS norm over the last axis, times 1 plus its weight; in float32."""

    def __init__(self, width: int, epsilon: float, *, rngs: nnx.Rngs):
        self.epsilon = epsilon
        self.offset = nnx.Param(jnp.zeros(width))

    def __call__(self, x: Float[Array, "*B D"]) -> Float[Array, "*B D"]:
        wide = x.astype(jnp.float32)
        mean = jnp.mean(jnp.square(wide), -1, keepdims=True)
        factor = 1.0 + self.offset[...].astype(jnp.float32)
        return (wide * jax.lax.rsqrt(mean + self.epsilon) * factor).astype(x.dtype)


class Sight(NamedTuple):
    """What differs between the two kinds of layers; both stacked, the full one last.

    Attributes:
        seen: which tokens a token looks at.
        cos, sin: of the rotary angles.
    """

    seen: Bool[Array, "*two B 1 L L"]
    cos: Float[Array, "*two L 1 A"]
    sin: Float[Array, "*two L 1 A"]


def sights(config: Gemma3Config, mask: Bool[Array, "B L"]) -> Sight:
    """Return what layers with a window see, and those without.

    Args:
        config: sizes.
        mask: False at padding, which is not looked at. Positions count it all the same.
    """
    length = mask.shape[1]
    place = np.arange(length)
    back = place[:, None] - place
    near = (back >= 0) & (back < config.sliding_window)
    both = jnp.asarray(np.stack([near, back >= 0]))
    local = rotary_frequencies(config.head_dim, config.local_rope_theta)
    full = rotary_frequencies(config.head_dim, config.rope_theta)
    frequencies = np.stack([local, full / np.float32(config.rope_factor)])
    angles = place.astype(np.float32)[:, None] * frequencies[:, None]
    return Sight(
        both[:, None, None] & mask[:, None, None],
        jnp.asarray(np.cos(angles)[:, :, None]),
        jnp.asarray(np.sin(angles)[:, :, None]),
    )


class Layer(nnx.Module):
    """Attention with normalised queries and keys, and a gated feed-forward layer.

    What both add to the stream is normalised as well.
    """

    def __init__(self, config: Gemma3Config, *, rngs: nnx.Rngs):
        width, hidden = config.hidden_size, config.intermediate_size
        queries = config.num_attention_heads * config.head_dim
        values = config.num_key_value_heads * config.head_dim
        self.config = config

        def matrix(features_in: int, features_out: int) -> nnx.Linear:
            return linear(features_in, features_out, use_bias=False, rngs=rngs)

        def norm(size: int) -> Norm:
            return Norm(size, config.epsilon, rngs=rngs)

        self.attention_norm, self.attended_norm = norm(width), norm(width)
        self.q, self.k, self.v = (
            matrix(width, size) for size in (queries, values, values)
        )
        self.q_norm, self.k_norm = norm(config.head_dim), norm(config.head_dim)
        self.o = matrix(queries, width)
        self.feed_norm, self.fed_norm = norm(width), norm(width)
        self.gate, self.up = matrix(width, hidden), matrix(width, hidden)
        self.down = matrix(hidden, width)

    def __call__(self, x: Float[Array, "B L D"], sight: Sight) -> Float[Array, "B L D"]:
        """Apply the layer; ``sight`` is that of its kind."""
        attended = self._attend(self.attention_norm(x), sight)
        x = x + self.attended_norm(attended)
        y = self.feed_norm(x)
        fed = self.down(jax.nn.gelu(self.gate(y), approximate=True) * self.up(y))
        return x + self.fed_norm(fed)

    def _attend(self, x: Array, sight: Sight) -> Array:
        shape = (*x.shape[:2], -1, self.config.head_dim)
        q = turn(self.q_norm(self.q(x).reshape(shape)), sight.cos, sight.sin)
        k = turn(self.k_norm(self.k(x).reshape(shape)), sight.cos, sight.sin)
        # Not `attend`: what is hidden leads the row, and heads are wider than it fuses.
        mixed = jax.nn.dot_product_attention(
            q,
            k,
            self.v(x).reshape(shape),
            mask=sight.seen,
            scale=self.config.query_pre_attn_scalar**-0.5,
        )
        return self.o(mixed.reshape(*x.shape[:2], -1))


class _Beside(nnx.Module):
    """Stacked layers and something stacked likewise, scanned together."""

    def __init__(self, layer: nnx.Module, other: nnx.Module | None):
        self.layer = layer
        self.other = other


class Gemma3(nnx.Module):
    """Gemma-3's text model without its output head."""

    def __init__(self, config: Gemma3Config, *, rngs: nnx.Rngs):
        self.config = config
        self.embed = Embedding(config.vocab_size, config.hidden_size, rngs=rngs)
        self.layers = stack_layers(
            lambda r: Layer(config, rngs=r), config.num_hidden_layers, rngs
        )
        self.norm = Norm(config.hidden_size, config.epsilon, rngs=rngs)

    def fold(
        self,
        ids: Int[Array, "B L"],
        mask: Bool[Array, "B L"],
        visit: Callable[[Carry, Array, Any], Carry],
        start: Carry,
        beside: nnx.Module | None = None,
    ) -> tuple[Carry, Float[Array, "B L D"]]:
        """Reduce hidden states to something small, so that none need be kept.

        Args:
            ids: token ids, padded at the start of each row.
            mask: False at padding, whose states mean nothing.
            visit: ``(carry, state, one of beside) -> carry``, called with what enters
                each layer; state 0 is the scaled embedding.
            start: carry of the first call.
            beside: stacked as the layers are; each call gets the one of its state.

        Returns:
            The last carry, and the last state, behind the last layer and normalised,
            which ``visit`` has not seen.
        """
        x = self.embed(ids)
        # The factor is rounded to the weights' dtype: 62 for 61.97 in bfloat16.
        x = x * jnp.asarray(self.config.hidden_size**0.5, x.dtype)
        both = sights(self.config, mask)
        kinds = jnp.asarray(np.array(self.config.is_full, np.int32))

        def call(pair: _Beside, carry: Any) -> Any:
            x, index, folded = carry
            folded = visit(folded, x, pair.other)
            sight = jax.tree.map(lambda each: each[kinds[index]], both)
            return pair.layer(x, sight), index + 1, folded

        carry = (x, jnp.int32(0), start)
        x, _, folded = scan_layers(_Beside(self.layers, beside), carry, call)
        return folded, self.norm(x)

    def __call__(
        self, ids: Int[Array, "B L"], mask: Bool[Array, "B L"]
    ) -> Float[Array, "S B L D"]:
        """Return all hidden states, the scaled embedding first; see `fold`."""
        count, width = self.config.num_states, self.config.hidden_size
        kept = jnp.zeros((count, *ids.shape, width), self.embed.embedding.dtype)

        def keep(carry: Any, state: Array, _: Any) -> Any:
            kept, index = carry
            return kept.at[index].set(state), index + 1

        (kept, _), last = self.fold(ids, mask, keep, (kept, jnp.int32(0)))
        return kept.at[-1].set(last)

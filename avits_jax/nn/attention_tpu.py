"""Attention of long queries on TPUs: JAX's flash kernel, and when it is taken.

Plain attention writes its logits to memory in float32, which is most of what a video
transformer moves. The kernel (`jax.experimental.pallas.ops.tpu.flash_attention`) keeps
them on the chip. It has whole memory tiles of 128 lanes for a head whether they are
used or not: an unused one says which keys are hidden, for which heads that leave none
get another tile.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from avits_jax.nn.attention_gradient import with_gradient_of

_LANES = 128
# Queries and keys from which logits outweigh the copies that the kernel needs, of
# arrays with heads first.
_LONG, _MANY = 256, 128
_QUERY_BLOCK = 512
# Keys up to which one block holds all of them.
_KEY_BLOCK = 1024
# Rounds to a finite bfloat16, and exp of it is 0 in float32 at any head's scale.
_UNSEEN = -1e6


def long_enough(query: Array, key: Array, value: Array) -> bool:
    """Tell whether the kernel takes these arrays, and has something to gain.

    It takes long queries and many keys in bfloat16, and as many heads of keys as of
    queries.
    """
    heads = query.shape[2] == key.shape[2] and key.shape == value.shape
    half = query.dtype == key.dtype == value.dtype == jnp.bfloat16
    long = query.shape[1] >= _LONG and key.shape[1] >= _MANY
    return half and heads and long


def flash_attend(
    query: Float[Array, "B Q H D"],
    key: Float[Array, "B K H D"],
    value: Float[Array, "B K H D"],
    lengths: Int[Array, " B"] | None = None,
) -> Float[Array, "B Q H D"]:
    """Apply softmax attention at scale 1/sqrt(D) without logits in memory.

    The softmax is in float32. Gradients are those of plain attention.

    Args:
        query: ``[B, Q, H, D]``.
        key: ``[B, K, H, D]``.
        value: ``[B, K, H, D]``.
        lengths: ``[B]`` int32 in [1, K]: queries look at so many leading keys; None for
            all.

    Returns:
        ``[B, Q, H, D]`` in the dtype of ``query``.
    """
    return _flash_attend(query, key, value, lengths)


def _kernel(
    query: Array, key: Array, value: Array, lengths: Int[Array, " B"] | None
) -> Array:
    # Slow to import, and nothing else needs it.
    from jax.experimental.pallas.ops.tpu import flash_attention as kernel

    width, length = query.shape[3], key.shape[1]
    lanes = 1 if width % _LANES else _LANES  # beside the head, where keys are hidden
    block = length if length <= _KEY_BLOCK else _QUERY_BLOCK
    behind = -length % block
    query, key, value = (jnp.moveaxis(x, 2, 1) for x in (query, key, value))
    if lengths is not None or behind:
        ends = jnp.asarray([length]) if lengths is None else lengths
        seen = jnp.arange(length) < ends[:, None]
        unseen = jnp.where(seen, 0, _UNSEEN).astype(key.dtype)[:, None, :, None]
        unseen = jnp.broadcast_to(unseen, (*key.shape[:3], 1))
        key = jnp.concatenate([jnp.pad(key, _lanes(lanes - 1)), unseen], -1)
        key = _behind(key, behind, _UNSEEN)
        value = _behind(jnp.pad(value, _lanes(lanes)), behind, 0)
        query = jnp.pad(query, _lanes(lanes), constant_values=1)
    sizes = kernel.BlockSizes(
        block_q=min(query.shape[2], _QUERY_BLOCK),
        block_k_major=block,
        block_k=block,
        block_b=1,
    )
    mixed = kernel.flash_attention(
        query, key, value, sm_scale=width**-0.5, block_sizes=sizes
    )
    return jnp.moveaxis(mixed[..., :width], 1, 2)


def _behind(x: Array, rows: int, last_lane: float) -> Array:
    """Put so many rows of zeros behind the tokens, apart from their last lane."""
    if not rows:
        return x
    row = jnp.zeros(x.shape[-1], x.dtype).at[-1].set(last_lane)
    more = jnp.broadcast_to(row, (*x.shape[:2], rows, x.shape[-1]))
    return jnp.concatenate([x, more], axis=2)


def _lanes(count: int) -> tuple[tuple[int, int], ...]:
    return ((0, 0), (0, 0), (0, 0), (0, count))


def _plain(
    query: Array, key: Array, value: Array, lengths: Int[Array, " B"] | None
) -> Array:
    return jax.nn.dot_product_attention(
        query, key, value, key_value_seq_lengths=lengths
    )


_flash_attend = with_gradient_of(_plain, _kernel)

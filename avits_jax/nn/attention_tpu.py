"""Attention of long queries on TPUs: JAX's flash kernel, and when it is taken.

Plain attention writes its logits to memory in float32, which is most of what a video
transformer moves. The kernel (`jax.experimental.pallas.ops.tpu.flash_attention`) keeps
them on the chip. It has a memory tile's 128 lanes for a head whether they are used or
not: the first unused one says which keys are hidden.
"""

import functools

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

_LANES = 128
# Queries from which logits outweigh what the kernel needs beside them.
_LONG = 256
_QUERY_BLOCK = 512
# Keys up to which one block holds all of them.
_KEY_BLOCK = 1024
# Rounds to a finite bfloat16, and exp of it is 0 in float32 at any head's scale.
_UNSEEN = -1e6


def long_enough(query: Array, key: Array, value: Array) -> bool:
    """Tell whether the kernel takes these arrays, and has something to gain.

    It takes long queries in bfloat16, as many heads of keys as of queries, and heads
    that leave a lane free for what is hidden.
    """
    heads = query.shape[2] == key.shape[2] and key.shape == value.shape
    half = query.dtype == key.dtype == value.dtype == jnp.bfloat16
    return half and heads and query.shape[1] >= _LONG and _free(query) > 0


def _free(query: Array) -> int:
    return -query.shape[3] % _LANES


@jax.custom_vjp
def flash_attend(
    query: Float[Array, "B Q H D"],
    key: Float[Array, "B K H D"],
    value: Float[Array, "B K H D"],
    lengths: Int[Array, " B"] | None = None,
) -> Float[Array, "B Q H D"]:
    """Apply softmax attention at scale 1/sqrt(D) without logits in memory.

    The softmax is in float32. Gradients are those of plain attention.

    Args:
        query: ``[B, Q, H, D]``, D no multiple of 128.
        key: ``[B, K, H, D]``.
        value: ``[B, K, H, D]``.
        lengths: ``[B]`` int32 in [1, K]: queries look at so many leading keys; None for
            all.

    Returns:
        ``[B, Q, H, D]`` in the dtype of ``query``.
    """
    # Slow to import, and nothing else needs it.
    from jax.experimental.pallas.ops.tpu import flash_attention as kernel

    width, length = query.shape[3], key.shape[1]
    block = length if length <= _KEY_BLOCK else _QUERY_BLOCK
    behind = -length % block
    ends = jnp.asarray([length]) if lengths is None else lengths
    seen = jnp.arange(length + behind) < ends[:, None]
    unseen = jnp.where(seen, 0, _UNSEEN).astype(key.dtype)
    key, value = (_tiled(each, behind) for each in (key, value))
    key = key.at[..., width].set(unseen[:, None])
    query = _tiled(query, 0).at[..., width].set(1)
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


def _tiled(x: Float[Array, "B L H D"], behind: int) -> Float[Array, "B H L2 D2"]:
    """Put heads first, so many zeros behind the tokens, and fill the lanes."""
    margins = ((0, 0), (0, 0), (0, behind), (0, _free(x)))
    return jnp.pad(jnp.moveaxis(x, 2, 1), margins)


def _forward(query, key, value, lengths):
    return flash_attend(query, key, value, lengths), (query, key, value, lengths)


def _backward(kept, gradient):
    *arrays, lengths = kept
    plain = functools.partial(
        jax.nn.dot_product_attention, key_value_seq_lengths=lengths
    )
    return *jax.vjp(plain, *arrays)[1](gradient), None


flash_attend.defvjp(_forward, _backward)

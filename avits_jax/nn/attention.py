"""Attention: one function that picks the platform's best implementation."""

from collections.abc import Callable
from typing import Literal

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from avits_jax.nn.attention_gradient import with_gradient_of
from avits_jax.nn.attention_tpu import flash_attend, long_enough

_WIDEST_HEAD = 128  # that cuDNN takes on every card with bfloat16
# Logits of a head, and of all, from which a CPU takes some heads after others; those
# that it takes at once fit into its cache, and are work for several cores.
_MANY_OF_HEAD, _AT_ONCE = 2**16, 2**20


def implementation(
    dtype: jnp.dtype, head_width: int, backend: str
) -> Literal["cudnn", "xla"]:
    """Tell which implementation `attend` takes in programs for a backend.

    Args:
        dtype: of queries, keys and values.
        head_width: numbers in one head of a query.
        backend: as `jax.default_backend` names it: "gpu", "cpu" or "tpu".
    """
    narrow = dtype in (jnp.bfloat16, jnp.float16)
    fits = narrow and head_width % 8 == 0 and head_width <= _WIDEST_HEAD
    return "cudnn" if backend == "gpu" and fits else "xla"


def count_seen(mask: Bool[Array, "*B K"]) -> Int[Array, "*B"]:
    """Return the key lengths that a mask of leading keys stands for, for `attend`.

    Args:
        mask: ``[*B, K]`` True at the keys that are looked at, which lead their row, as
            the tokens of a text padded at its end.

    Returns:
        ``[*B]`` int32.
    """
    return jnp.sum(mask, -1, dtype=jnp.int32)


def attend(
    query: Float[Array, "B Q H D"],
    key: Float[Array, "B K G D"],
    value: Float[Array, "B K G D"],
    lengths: Int[Array, " B"] | None = None,
    *,
    causal: bool = False,
) -> Float[Array, "B Q H D"]:
    """Apply softmax attention at scale 1/sqrt(D), the softmax in float32.

    cuDNN's fused kernel is used for half-precision arrays of a shape that it takes, in
    programs for a CUDA GPU that are made where there is one; a flash kernel for long
    queries in bfloat16, in programs for a TPU; some heads after others for long queries
    in float32, in programs for a CPU; XLA's own elsewhere. What is hidden is told as
    lengths and not as a mask, of which cuDNN would need all ``[B, H, Q, K]`` numbers.

    Args:
        query: ``[B, Q, H, D]``.
        key: ``[B, K, G, D]``; G divides H, and neighbouring queries share a head.
        value: ``[B, K, G, D]``.
        lengths: ``[B]`` int32 in [1, K]: queries look at so many leading keys; None for
            all.
        causal: query i looks at keys 0 ... i alone.

    Returns:
        ``[B, Q, H, D]`` in the dtype of ``query``; its gradient is XLA's own.
    """
    plain = _attention("xla", causal)
    backend = jax.default_backend()
    special: dict[str, Callable[..., Array]] = {}
    if implementation(query.dtype, query.shape[-1], backend) == "cudnn":
        fused = _in_one_batch(_attention("cudnn", causal))
        special["cuda"] = with_gradient_of(plain, fused)
    if not causal and long_enough(query, key, value):
        special["tpu"] = flash_attend
    if not causal and lengths is None and _many_logits(query, key):
        special["cpu"] = _some_heads_at_a_time
    arrays = query, key, value, lengths
    if not special:
        return plain(*arrays)
    # A machine makes programs for its CPU as well, and for platforms that it lacks.
    return jax.lax.platform_dependent(*arrays, **special, default=plain)


def _many_logits(query: Array, key: Array) -> bool:
    batch, queries, heads, _ = query.shape
    of_head = queries * key.shape[1]
    same = query.dtype == jnp.float32 and key.shape[2] == heads
    return same and of_head >= _MANY_OF_HEAD and batch * heads * of_head > _AT_ONCE


def _some_heads_at_a_time(
    query: Array, key: Array, value: Array, _: Array | None
) -> Array:
    """Return plain attention to all keys, the logits of some heads made and used.

    Those of all heads would go to memory and back; and XLA's own attention multiplies
    faster where heads come before tokens.
    """

    def of_some(arrays: tuple[Array, Array, Array]) -> Array:
        query, key, value = arrays
        return jax.nn.softmax(query @ jnp.swapaxes(key, -1, -2)) @ value

    batch, queries, heads, width = query.shape
    most = max(1, _AT_ONCE // (queries * key.shape[1]))
    together = max(n for n in range(1, most + 1) if batch * heads % n == 0)
    groups = [
        jnp.moveaxis(x, 2, 1).reshape(-1, together, x.shape[1], width)
        for x in (query * width**-0.5, key, value)
    ]
    mixed = jax.lax.map(of_some, tuple(groups))
    return jnp.moveaxis(mixed.reshape(batch, heads, queries, width), 1, 2)


def _attention(name: Literal["cudnn", "xla"], causal: bool) -> Callable[..., Array]:
    def call(query, key, value, lengths):
        return jax.nn.dot_product_attention(
            query,
            key,
            value,
            is_causal=causal,
            key_value_seq_lengths=lengths,
            implementation=name,
        )

    return call


def _in_one_batch(function: Callable[..., Array]) -> Callable[..., Array]:
    """Let `jax.vmap` make the batch longer: cuDNN's own rule fails with lengths."""
    joined = jax.custom_batching.custom_vmap(function)

    @joined.def_vmap
    def _(size, batched, *arrays):
        def rows(array, has_axis):
            if not has_axis:
                array = jnp.broadcast_to(array, (size, *array.shape))
            return array.reshape(-1, *array.shape[2:])

        out = joined(*jax.tree.map(rows, arrays, tuple(batched)))
        return out.reshape(size, -1, *out.shape[1:]), True

    return joined

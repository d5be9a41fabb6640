"""Attention: one function that picks the platform's best implementation."""

from collections.abc import Callable
from functools import partial
from typing import Literal

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from avits_jax.nn import attention_cpu
from avits_jax.nn.attention_gradient import with_gradient_of
from avits_jax.nn.attention_tpu import flash_attend, long_enough

_WIDEST_HEAD = 128  # that cuDNN takes on every card with bfloat16


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
    queries in bfloat16, in programs for a TPU; products of single heads for all but
    short queries in float32, in programs for a CPU; XLA's own elsewhere. What is hidden
    is told as lengths and not as a mask, of which cuDNN would need all ``[B, H, Q, K]``
    numbers.

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
    if attention_cpu.pays(query, key, value):
        special["cpu"] = partial(attention_cpu.attend_by_heads, causal=causal)
    arrays = query, key, value, lengths
    if not special:
        return plain(*arrays)
    # A machine makes programs for its CPU as well, and for platforms that it lacks.
    return jax.lax.platform_dependent(*arrays, **special, default=plain)


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

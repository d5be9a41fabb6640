"""Attention: one function that picks the platform's best implementation."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from avits_jax.nn.attention_tpu import flash_attend, long_enough


def _fused_fits(query: Array) -> bool:
    """Tell whether there is cuDNN, and its fused attention takes these arrays."""
    narrow = query.dtype in (jnp.bfloat16, jnp.float16)
    head = query.shape[-1]
    return jax.default_backend() == "gpu" and narrow and head % 8 == 0 and head <= 128


def attend(
    query: Float[Array, "B Q H D"],
    key: Float[Array, "B K G D"],
    value: Float[Array, "B K G D"],
    mask: Bool[Array, "#B #H #Q K"] | None = None,
) -> Float[Array, "B Q H D"]:
    """Apply softmax attention at scale 1/sqrt(D), the softmax in float32.

    cuDNN's fused kernel is used for half-precision arrays of a shape that it takes, in
    programs for a CUDA GPU that are made where there is one; a flash kernel for long
    queries in bfloat16, in programs for a TPU; XLA's own elsewhere.

    Args:
        query: ``[B, Q, H, D]``.
        key: ``[B, K, G, D]``; G divides H, and neighbouring queries share a head.
        value: ``[B, K, G, D]``.
        mask: True where a query may look at a key; broadcast to ``[B, H, Q, K]``.

    Returns:
        ``[B, Q, H, D]`` in the dtype of ``query``.
    """

    def plain(query, key, value, mask):
        return jax.nn.dot_product_attention(
            query, key, value, mask=mask, implementation="xla"
        )

    def fused(query, key, value, mask):
        if mask is not None:  # cuDNN broadcasts over batch and heads alone
            sizes = query.shape[1], key.shape[1]
            mask = jnp.broadcast_to(mask, (*mask.shape[:2], *sizes))
        return jax.nn.dot_product_attention(
            query, key, value, mask=mask, implementation="cudnn"
        )

    special = {"cuda": fused} if _fused_fits(query) else {}
    if long_enough(query, key, value, mask):
        special["tpu"] = flash_attend
    if not special:
        return plain(query, key, value, mask)
    # A machine makes programs for its CPU as well, and for platforms that it lacks.
    return jax.lax.platform_dependent(query, key, value, mask, **special, default=plain)

"""Attention of VASTDiT3, in the form that each platform works through best.

On TPUs attention of the video's bfloat16 tokens is made by kernels that leave heads
side by side (`packed_tpu`), everything else by `nn.attention`.

Upstream: JavisVerse/JavisDiT at b505b37, javisdit/models/layers/blocks.py
(LlamaRMSNorm, Attention, MultiHeadCrossAttention).
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from avits_jax.nn.attention import attend, count_seen
from avits_jax.nn.attention_gradient import with_gradient_of
from avits_jax.nn.positions import rotate_pairs
from avits_jax.nn.vectors import rms_normalise

Tokens = Float[Array, "B T S D"]
EPSILON = 1e-6
# Queries from which a kernel has something to gain, and tokens or keys up to which its
# logits fit on every chip since v4.
_FEWEST, _MOST = 128, 512
# Pixels whose sequences along time make up a block of a kernel: rows of a memory tile.
_PIXELS = 8


class KeyValue(NamedTuple):
    """Keys and values of a context.

    Attributes:
        key: ``[R, K, H, D]``; rows as in `cross_attend`.
        value: the same shape.
    """

    key: Float[Array, "R K H D"]
    value: Float[Array, "R K H D"]


class Heads(NamedTuple):
    """What is done to the heads of queries and keys before they meet.

    Attributes:
        query_scale: weights of the RMS norm of queries, for every head.
        key_scale: the same for keys.
        rotary: frequencies of the pairs of a head along time; None within frames.
    """

    query_scale: Float[Array, " d"]
    key_scale: Float[Array, " d"]
    rotary: Float[Array, " P"] | None


def cross_attend(
    query: Tokens,
    context: KeyValue,
    mask: Bool[Array, "R K"] | None = None,
    *,
    shared: bool = False,
) -> Tokens:
    """Attend to a context of R rows, which may be fewer than the samples.

    Sample b looks at row ``b % R``, or at one that ``B / R`` neighbours share. Of a row
    only the tokens in ``mask`` are looked at, which lead it.

    Raises:
        ValueError: R does not divide the number of samples.
    """
    batch, (rows, keys, heads, _) = len(query), context.key.shape
    if batch % rows:
        raise ValueError(
            f"context has {rows} rows, which do not divide {batch} samples"
        )
    again = batch // rows
    lengths = None if mask is None else count_seen(mask)

    def apart(query, key, value, lengths):
        # The queries of neighbours look at their row as one sequence: no key is
        # repeated.
        folded = query.reshape(rows if shared else batch, -1, heads, key.shape[-1])
        if not shared and again > 1:
            key, value = (jnp.tile(x, (again, 1, 1, 1)) for x in (key, value))
            lengths = None if lengths is None else jnp.tile(lengths, again)
        return attend(folded, key, value, lengths).reshape(query.shape)

    def packed(query, key, value, lengths):
        # Slow to import.
        from avits_jax.generators.javisdit import packed_tpu

        key, value = (x.reshape(rows, keys, -1) for x in (key, value))
        return packed_tpu.cross_attend(
            query,
            key,
            value,
            lengths,
            heads=heads,
            row=lambda sample: sample // again if shared else sample % rows,
        )

    arrays = query, *context, lengths
    half = query.dtype == context.key.dtype == jnp.bfloat16
    if not (half and _FEWEST <= query.shape[2] <= _MOST and keys <= _MOST):
        return apart(*arrays)
    tpu = with_gradient_of(apart, packed)
    return jax.lax.platform_dependent(*arrays, tpu=tpu, default=apart)


def self_attend(
    x: Tokens,
    project: Callable[[Array], Array],
    out: Callable[[Array], Array],
    heads: Heads,
    seen: int | None = None,
) -> Tokens:
    """Attend within frames, or with rotary positions along time.

    Args:
        x: tokens.
        project: makes queries, keys and values of them, ``[..., D] -> [..., 3 D]``.
        out: of what was attended to.
        heads: norms and rotary positions.
        seen: leading tokens of a frame that are keys; None for all. The rest are pads,
            which along time meet nothing but each other.
    """
    along_time = heads.rotary is not None

    def turned(x: Array) -> Array:
        return jnp.swapaxes(x, 1, 2) if along_time else x

    def apart(x: Tokens) -> Tokens:
        within = None if along_time else seen
        return turned(out(attend_heads(project(turned(x)), *heads, within)))

    def packed(x: Tokens) -> Tokens:
        return out(with_gradient_of(plain, fused)(project(x), *heads))

    def plain(qkv: Array, *heads: Any) -> Array:
        return turned(attend_heads(turned(qkv), *heads))

    def fused(qkv: Array, *heads: Any) -> Array:
        # Slow to import.
        from avits_jax.generators.javisdit import packed_tpu

        return packed_tpu.self_attend(qkv, *heads, pixels=_PIXELS, epsilon=EPSILON)

    together = _PIXELS * x.shape[1] if along_time else x.shape[2]
    whole_tiles = x.shape[-1] % 128 == 0
    half = x.dtype == jnp.bfloat16
    fits = whole_tiles and _FEWEST <= together <= _MOST
    if seen is not None or not (half and fits):
        return apart(x)
    return jax.lax.platform_dependent(x, tpu=packed, default=apart)


def attend_heads(
    qkv: Float[Array, "B T S E"],
    query_scale: Float[Array, " d"],
    key_scale: Float[Array, " d"],
    rotary: Float[Array, " P"] | None,
    seen: int | None = None,
) -> Tokens:
    """Attend among the tokens of the third axis, see `Heads`.

    Keys are the first ``seen`` of them, or all.
    """
    head = len(query_scale)
    query, key, value = jnp.split(qkv, 3, axis=-1)
    query, key, value = (
        part.reshape(-1, part.shape[2], part.shape[3] // head, head)
        for part in (query, key[:, :, :seen], value[:, :, :seen])
    )
    query, key = normalise_heads(query, key, query_scale, key_scale)
    if rotary is not None:
        query, key = rotate_pairs(query, rotary), rotate_pairs(key, rotary)
    return attend(query, key, value).reshape(*qkv.shape[:3], -1)


def normalise_heads(
    query: Float[Array, "B L H d"],
    key: Float[Array, "B K H d"],
    query_scale: Float[Array, " d"],
    key_scale: Float[Array, " d"],
) -> tuple[Float[Array, "B L H d"], Float[Array, "B K H d"]]:
    """Apply RMS norms, on TPUs to arrays that lie with their heads first in memory.

    Attention wants them so there. Without the barrier TPUs turn the norms' float32
    around, several times over, instead of the narrower arrays once.
    """

    def turned(query: Array, key: Array) -> tuple[Array, Array]:
        heads_first = (jnp.swapaxes(query, 1, 2), jnp.swapaxes(key, 1, 2))
        query, key = plain(*jax.lax.optimization_barrier(heads_first))
        return jnp.swapaxes(query, 1, 2), jnp.swapaxes(key, 1, 2)

    def plain(query: Array, key: Array) -> tuple[Array, Array]:
        return normed(query, query_scale), normed(key, key_scale)

    def normed(x: Array, scale: Array) -> Array:
        unit = rms_normalise(x, EPSILON).astype(x.dtype)
        return unit * scale.astype(x.dtype)

    return jax.lax.platform_dependent(query, key, tpu=turned, default=plain)

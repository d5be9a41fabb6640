"""Attention on TPUs of heads that stay side by side, as linear layers leave them.

With an axis of its own, a head of 72 numbers fills 128 lanes of a memory tile, and the
ways there and back copy every array several times over. These kernels read and write
``[tokens, width]`` and take heads apart on the chip: in keys and values, the numbers
that share a head's tiles with it are set to 0, so that they add nothing to its logits
and its outputs. Norms of heads, rotary positions and logits never leave the chip.
"""

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax.experimental import pallas as pl
from jax.experimental.pallas import tpu as pltpu
from jaxtyping import Array, Bool, Float, Int

_LANES = 128
_UNSEEN = -1e30


def self_attend(
    qkv: Float[Array, "B T S E"],
    query_scale: Float[Array, " d"],
    key_scale: Float[Array, " d"],
    rotary: Float[Array, " P"] | None,
    *,
    pixels: int,
    epsilon: float,
) -> Float[Array, "B T S D"]:
    """Attend within frames, or with ``rotary`` along time, after norms of the heads.

    Args:
        qkv: queries, keys and values, D of each, which whole tiles of 128 hold.
        query_scale: weights of the RMS norm of queries, for every head.
        key_scale: the same for keys.
        rotary: frequencies of the pairs of a head.
        pixels: whose sequences along time are worked on at once.
        epsilon: of both norms.
    """
    batch, steps, tokens, width = *qkv.shape[:3], qkv.shape[3] // 3
    heads = width // len(query_scale)
    beside = [jnp.tile(x, heads)[None] for x in (query_scale, key_scale)]
    if rotary is None:
        sizes, grid = (1, tokens), (batch, steps, 1)
    else:
        sizes, grid = (steps, pixels), (batch, 1, pl.cdiv(tokens, pixels))
        beside += _waves(rotary, steps, heads)

    def block(width: int) -> pl.BlockSpec:
        return pl.BlockSpec((1, *sizes, width), lambda b, t, s: (b, t, s, 0))

    def whole(x: Array) -> pl.BlockSpec:
        return pl.BlockSpec(x.shape, lambda b, t, s: (0,) * x.ndim)

    return pl.pallas_call(
        functools.partial(
            _self_kernel, head=len(query_scale), tokens=tokens, epsilon=epsilon
        ),
        grid=grid,
        in_specs=[block(3 * width), *map(whole, beside)],
        out_specs=block(width),
        out_shape=jax.ShapeDtypeStruct((batch, steps, tokens, width), qkv.dtype),
        name="self_attend",
    )(qkv, *beside)


def cross_attend(
    query: Float[Array, "B T S D"],
    key: Float[Array, "R K D"],
    value: Float[Array, "R K D"],
    lengths: Int[Array, " R"] | None,
    *,
    heads: int,
    row: Callable[[Any], Any],
) -> Float[Array, "B T S D"]:
    """Attend to a context of R rows.

    Args:
        query: queries of whole frames.
        key: keys of the context.
        value: values of the context.
        lengths: leading keys that are looked at, at least 1; None for all.
        heads: how many share the width.
        row: from a sample's number to that of the row that it looks at.
    """
    batch, steps, tokens, width = query.shape
    ends = jnp.full(len(key), key.shape[1]) if lengths is None else lengths
    hidden = jnp.arange(key.shape[1]) >= ends[:, None]
    unseen = jnp.where(hidden, jnp.float32(_UNSEEN), 0)[:, None]
    frame = pl.BlockSpec((1, 1, tokens, width), lambda b, t: (b, t, 0, 0))
    context = [
        pl.BlockSpec((1, *x.shape[1:]), lambda b, t: (row(b), 0, 0))
        for x in (key, value, unseen)
    ]
    return pl.pallas_call(
        functools.partial(_cross_kernel, head=width // heads),
        grid=(batch, steps),
        in_specs=[frame, *context],
        out_specs=frame,
        out_shape=jax.ShapeDtypeStruct(query.shape, query.dtype),
        name="cross_attend",
    )(query, key, value, unseen)


def _self_kernel(
    qkv: Any,
    query_scale: Any,
    key_scale: Any,
    *rest: Any,
    head: int,
    tokens: int,
    epsilon: float,
) -> None:
    *waves, out = rest
    width, dtype = out.shape[-1], out.dtype
    apart, real = _pixels(qkv.shape, tokens) if waves else (None, True)

    def attend(lanes: Any, own: Array) -> None:
        query, key, value = (
            _part(qkv, number * width, lanes, own & real) for number in range(3)
        )
        query = _normed(query, query_scale[:, lanes], head, epsilon, dtype)
        key = _normed(key, key_scale[:, lanes], head, epsilon, dtype)
        if waves:
            cos, sin = (wave[:, :, lanes] for wave in waves)
            query, key = _turned(query, cos, sin), _turned(key, cos, sin)
        query, key, value = (x.astype(dtype) for x in (query, key, value))
        _store(out, lanes, own, _mixed(query, key, value, head, apart))

    _for_heads(width, head, attend)


def _cross_kernel(
    query: Any, key: Any, value: Any, unseen: Any, out: Any, *, head: int
) -> None:
    def attend(lanes: Any, own: Array) -> None:
        own_key, own_value = (
            jnp.where(own, x[0, :, lanes].astype(jnp.float32), 0).astype(out.dtype)
            for x in (key, value)
        )
        asked = query[0, 0, :, lanes]
        _store(out, lanes, own, _mixed(asked, own_key, own_value, head, unseen[0]))

    _for_heads(out.shape[-1], head, attend)


def _for_heads(width: int, head: int, attend: Callable[[Any, Array], None]) -> None:
    """Run for each head: with lanes around it, and which of them are its own.

    They are whole tiles, as many for all heads, so that a loop can go over them: what
    is written out for each head takes several times the chip's memory, and the
    compiler's time. It leaves out the last heads, behind which there are not so many.
    """
    size = -(-head // _LANES) * _LANES + _LANES

    def run(first: Any, start: Any, size: int) -> None:
        lane = start + jax.lax.broadcasted_iota(jnp.int32, (1, size), 1)
        attend(pl.ds(start, size), (lane >= first) & (lane < first + head))

    def turn(number: Array, nothing: None) -> None:
        first = number * head
        start = pl.multiple_of(first - jax.lax.rem(first, _LANES), _LANES)
        run(first, start, size)

    starts = [first - first % _LANES for first in range(0, width, head)]
    inner = sum(start + size <= width for start in starts)
    jax.lax.fori_loop(0, inner, turn, None)
    for number, start in enumerate(starts[inner:], inner):
        run(number * head, start, width - start)


def _pixels(
    shape: tuple[int, ...], tokens: int
) -> tuple[Float[Array, "L L"], Bool[Array, "L 1"]]:
    """Return what hides pixels from each other, and which rows are pixels at all.

    A block holds neighbouring pixels at all times, and behind a frame's last one
    whatever lay in memory.
    """
    rows = shape[1] * shape[2]
    down, right = (
        jax.lax.broadcasted_iota(jnp.int32, size, axis) % shape[2]
        for axis, size in enumerate([(rows, 1), (1, rows)])
    )
    real = down < tokens - pl.program_id(2) * shape[2]
    return jnp.where(down == right, 0.0, _UNSEEN), real


def _mixed(
    query: Float[Array, "Q W"],
    key: Float[Array, "K W"],
    value: Float[Array, "K W"],
    head: int,
    unseen: Float[Array, "#Q K"] | None,
) -> Float[Array, "Q W"]:
    """Apply softmax attention; ``unseen`` is added to logits, very low or 0."""
    logits = jax.lax.dot_general(
        query, key, (((1,), (1,)), ((), ())), preferred_element_type=jnp.float32
    )
    logits = logits * head**-0.5
    if unseen is not None:
        logits = logits + unseen
    weights = jnp.exp(logits - jnp.max(logits, -1, keepdims=True))
    total = jnp.sum(weights, -1, keepdims=True)
    weights = weights.astype(value.dtype)
    return jnp.dot(weights, value, preferred_element_type=jnp.float32) / total


def _part(qkv: Any, first: int, lanes: Any, kept: Array) -> Float[Array, "L W"]:
    """Return queries, keys or values of one head, 0 where they are not ``kept``."""
    x = qkv[0, :, :, pl.ds(first + lanes.start, lanes.size)].astype(jnp.float32)
    return jnp.where(kept, x.reshape(-1, x.shape[-1]), 0)


def _normed(
    x: Float[Array, "L W"], scale: Array, head: int, epsilon: float, dtype: Any
) -> Float[Array, "L W"]:
    """Apply the RMS norm, rounded to ``dtype`` where heads apart are as well."""
    mean = jnp.sum(jnp.square(x), -1, keepdims=True) / head
    unit = (x * jax.lax.rsqrt(mean + epsilon)).astype(dtype).astype(jnp.float32)
    return (unit * scale.astype(jnp.float32)).astype(dtype).astype(jnp.float32)


def _waves(rotary: Array, steps: int, heads: int) -> list[Float[Array, "T 1 D"]]:
    """Return cosines and sines for `_turned`."""
    angle = jnp.arange(steps, dtype=jnp.float32)[:, None] * rotary.astype(jnp.float32)
    cos, sin = jnp.cos(angle), jnp.sin(angle)
    pairs = ((cos, cos), (-sin, sin))
    waves = (jnp.stack(pair, -1).reshape(steps, 1, -1) for pair in pairs)
    return [jnp.tile(x, heads) for x in waves]


def _turned(
    x: Float[Array, "L W"], cos: Float[Array, "T 1 W"], sin: Float[Array, "T 1 W"]
) -> Float[Array, "L W"]:
    """Turn neighbours (2i, 2i + 1); the sine of the first has its sign changed."""
    width = x.shape[-1]
    even = jax.lax.broadcasted_iota(jnp.int32, (1, width), 1) % 2 == 0
    other = jnp.where(even, pltpu.roll(x, width - 1, 1), pltpu.roll(x, 1, 1))
    here, other = (each.reshape(len(cos), -1, width) for each in (x, other))
    return (here * cos + other * sin).reshape(x.shape)


def _store(out: Any, lanes: Any, own: Array, mixed: Array) -> None:
    """Write the outputs of a head, and leave those of its neighbours as they are."""
    before = out[0, :, :, lanes].astype(jnp.float32)
    mixed = mixed.reshape(before.shape)
    out[0, :, :, lanes] = jnp.where(own, mixed, before).astype(out.dtype)

"""Sinusoidal positions and embeddings of numbers, and rotary positions of pairs.

Upstream: hpcaitech/Open-Sora, opensora/models/layers/blocks.py (PositionEmbedding2D,
TimestepEmbedder).
"""

import jax
import jax.numpy as jnp
import ml_dtypes
import numpy as np
from jaxtyping import Array, Float

_PERIOD = 10_000.0


def _waves(position: np.ndarray, num_waves: int, rounded: bool = False) -> np.ndarray:
    """Return ``[sin, cos]`` of positions at ``num_waves`` frequencies from 1 down."""
    power = np.arange(num_waves, dtype=np.float32) / np.float32(num_waves)
    period = (_PERIOD ** power.astype(np.float64)).astype(np.float32)
    frequency = np.float32(1) / period
    if rounded:
        frequency = frequency.astype(ml_dtypes.bfloat16).astype(np.float32)
    angle = position.astype(np.float32)[..., None] * frequency
    return np.concatenate([np.sin(angle), np.cos(angle)], -1)


def positions_1d(
    length: int, width: int, *, rounded: bool = False
) -> Float[np.ndarray, "L D"]:
    """Return sinusoids of 0, 1, ..., ``length - 1``: sines, then cosines.

    ``rounded`` rounds the frequencies to bfloat16.
    """
    return _waves(np.arange(length), width // 2, rounded)


def positions_2d(
    rows: int,
    columns: int,
    width: int,
    scale: float,
    base: int,
    *,
    rounded: bool = False,
) -> Float[np.ndarray, "H W D"]:
    """Return a grid's sinusoids: the column in the first half, then the row.

    A coordinate is ``index / scale * base / n``, with ``n`` the grid's size along its
    axis.

    Args:
        rows: height of the grid.
        columns: width of the grid.
        width: numbers per position, a multiple of 4.
        scale: of the picture, relative to the size that the network grew up with.
        base: size of the grid that the coordinates are brought to.
        rounded: round the frequencies to bfloat16.
    """

    def axis(size: int) -> np.ndarray:
        index = np.arange(size, dtype=np.float32) / np.float32(scale)
        return _waves(index * np.float32(base / size), width // 4, rounded)

    shape = (rows, columns, width // 2)
    column = np.broadcast_to(axis(columns)[None], shape)
    row = np.broadcast_to(axis(rows)[:, None], shape)
    return np.concatenate([column, row], -1)


def embed_number(value: Float[Array, "*B"], width: int) -> Float[Array, "*B D"]:
    """Return a number's cosines, then sines, at ``width / 2`` frequencies; float32."""
    steps = np.arange(width // 2, dtype=np.float32)
    # At 1000 radians the rounding of the exponent shows; networks were trained with it.
    power = np.float32(-np.log(_PERIOD)) * steps / np.float32(width // 2)
    frequency = np.exp(power.astype(np.float64)).astype(np.float32)
    angle = value.astype(jnp.float32)[..., None] * frequency
    return jnp.concatenate([jnp.cos(angle), jnp.sin(angle)], -1)


def rotate_pairs(
    x: Float[Array, "*B L H D"], frequency: Float[Array, " D/2"]
) -> Float[Array, "*B L H D"]:
    """Turn neighbours (2i, 2i + 1) of a head by position times frequency, in float32.

    Su et al., arXiv 2104.09864, in the interleaved layout. Positions are 0, 1, ...
    """
    position = jnp.arange(x.shape[-3], dtype=jnp.float32)
    angle = position[:, None, None] * frequency.astype(jnp.float32)
    cos, sin = (jnp.repeat(wave(angle), 2, axis=-1) for wave in (jnp.cos, jnp.sin))
    other = jax.lax.platform_dependent(x, tpu=_turn_by_product, default=_turn)
    wide, other = x.astype(jnp.float32), other.astype(jnp.float32)
    return (wide * cos + other * sin).astype(x.dtype)


def _turn(x: Float[Array, "*B D"]) -> Float[Array, "*B D"]:
    """Turn neighbours (a, b) into (-b, a)."""
    pairs = x.reshape(*x.shape[:-1], -1, 2)
    return jnp.stack([-pairs[..., 1], pairs[..., 0]], -1).reshape(x.shape)


def _turn_by_product(x: Float[Array, "*B D"]) -> Float[Array, "*B D"]:
    """Turn them by a matrix: an axis of two fills a TPU's memory tiles with padding."""
    turn = np.kron(np.eye(x.shape[-1] // 2), [[0, 1], [-1, 0]])
    exact = jax.lax.Precision.HIGHEST
    return jnp.matmul(x, jnp.asarray(turn, x.dtype), precision=exact)

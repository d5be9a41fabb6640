"""Where a network's weights come from: a checkpoint, or random numbers (host only)."""

import math
import zlib
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh
from jaxtyping import Array

from avits_jax.types import PyTree

Config = TypeVar("Config")
DTYPES = ("float32", "bfloat16")
_SPREAD = 0.02
_SMALL = 2**20


class Weights(NamedTuple):
    """Where weights come from, and how they are held.

    Attributes:
        folder: a checkpoint; None for random weights.
        dtype: of all weights, "float32" or "bfloat16"; networks compute in it, apart
            from what they keep in float32 (norms, softmax).
        seed: of random weights.
        mesh: where weights shall lie, split by the network's sharding rules; None for
            the default device.
    """

    folder: Path | None
    dtype: str = "float32"
    seed: int = 0
    mesh: Mesh | None = None


def default_dtype() -> str:
    """Return bfloat16 on accelerators, float32 on a CPU, slow at bfloat16."""
    return "float32" if jax.default_backend() == "cpu" else "bfloat16"


def check_dtype(dtype: str | None) -> str:
    """Return `dtype`, or the default one for None.

    Raises:
        ValueError: it is none of `DTYPES`.
    """
    if dtype not in (None, *DTYPES):
        raise ValueError(f"dtype must be one of {DTYPES}, got {dtype!r}")
    return dtype or default_dtype()


def as_dtype(like: PyTree, dtype: str, float32: tuple[str, ...] = ()) -> PyTree:
    """Return shapes with every floating dtype replaced.

    Args:
        like: tree of `jax.ShapeDtypeStruct`.
        dtype: "float32" or "bfloat16".
        float32: names at the top of the tree that stay float32 in any dtype.
    """

    def replace(leaf: jax.ShapeDtypeStruct) -> jax.ShapeDtypeStruct:
        floating = jnp.issubdtype(leaf.dtype, jnp.floating)
        return jax.ShapeDtypeStruct(leaf.shape, dtype if floating else leaf.dtype)

    if not float32:
        return jax.tree.map(replace, like)
    return {
        name: as_dtype(tree, "float32" if name in float32 else dtype)
        for name, tree in like.items()
    }


def random_weights(
    like: PyTree, seed: int = 0, shardings: PyTree | None = None
) -> PyTree:
    """Draw weights that keep activations finite; what they compute means nothing.

    Matrices get a variance of one over their input size, scales are near 1, everything
    else is near 0. A weight depends on the seed, its path and its shape alone.

    Args:
        like: tree of `jax.ShapeDtypeStruct`.
        seed: of all draws.
        shardings: tree like it of where weights are drawn; None for the default device.
    """
    key = jax.random.key(seed)

    def draw(path: Any, leaf: jax.ShapeDtypeStruct, sharding: Any = None) -> Array:
        name = jax.tree_util.keystr(path, simple=True, separator="/")
        own = zlib.crc32(name.encode())
        mean, spread = _moments(name.removesuffix("/value"), leaf.shape)
        if math.prod(leaf.shape) < _SMALL:
            # A program for every small shape would take longer than all the draws.
            noise = np.random.default_rng((seed, own)).standard_normal(leaf.shape)
            return jax.device_put((mean + spread * noise).astype(leaf.dtype), sharding)
        normal = jax.jit(_normal, static_argnums=(3, 4), out_shardings=sharding)
        numbers = jax.random.fold_in(key, own)
        return normal(numbers, mean, spread, leaf.shape, jnp.dtype(leaf.dtype))

    trees = (like,) if shardings is None else (like, shardings)
    return jax.tree_util.tree_map_with_path(draw, *trees)


def _moments(name: str, shape: tuple[int, ...]) -> tuple[float, float]:
    """Return mean and deviation of a weight, by its last name."""
    last = name.rpartition("/")[2]
    if last in ("var", "variance"):
        return 1.0, 0.0
    if last == "kernel" and len(shape) > 1:
        # Of a convolution the window counts as well; a third axis may be a stack.
        window = shape[:-1] if len(shape) > 3 else shape[-2:-1]
        return 0.0, math.prod(window) ** -0.5
    return float(last == "scale"), _SPREAD


def _normal(key: Array, mean: Any, spread: Any, shape: tuple, dtype: Any) -> Array:
    return (mean + spread * jax.random.normal(key, shape)).astype(dtype)

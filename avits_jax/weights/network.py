"""Where a network's weights come from: a checkpoint, or random numbers (host only)."""

import math
import re
import zlib
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh
from jaxtyping import Array

from avits_jax.types import PyTree
from avits_jax.weights.dtypes import DTYPES, FLOAT8

Config = TypeVar("Config")
_SPREAD = 0.02
_SMALL = 2**20


class Weights(NamedTuple):
    """Where weights come from, and how they are held.

    Attributes:
        folder: a checkpoint; None for random weights.
        dtype: of all weights, "float32" or "bfloat16"; networks compute in it, apart
            from what they keep in float32 (norms, softmax). "float8" holds the largest
            weights of models that have such a form as float8_e4m3fn, cast where they
            are used, and everything else as "bfloat16" does.
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
        ValueError: it is none of those of `weights.dtypes`.
    """
    if dtype not in (None, *DTYPES, FLOAT8):
        raise ValueError(f"dtype must be one of {(*DTYPES, FLOAT8)}, got {dtype!r}")
    return dtype or default_dtype()


def as_dtype(
    like: PyTree,
    dtype: str,
    float32: tuple[str, ...] = (),
    float8: tuple[str, ...] = (),
) -> PyTree:
    """Return shapes with every floating dtype replaced.

    Args:
        like: tree of `jax.ShapeDtypeStruct`.
        dtype: one of those of `weights.dtypes`.
        float32: patterns of weights that stay float32 in any dtype, see `is_named`.
        float8: of those that are float8_e4m3fn in dtype "float8", in which all others
            are bfloat16.
    """
    usual = "bfloat16" if dtype == "float8" else dtype

    def replace(path: Any, leaf: jax.ShapeDtypeStruct) -> jax.ShapeDtypeStruct:
        if not jnp.issubdtype(leaf.dtype, jnp.floating):
            return leaf
        name = jax.tree_util.keystr(path, simple=True, separator="/")
        own = usual
        if is_named(name, float32):
            own = "float32"
        elif dtype == "float8" and is_named(name, float8):
            own = "float8_e4m3fn"
        return jax.ShapeDtypeStruct(leaf.shape, own)

    return jax.tree_util.tree_map_with_path(replace, like)


def is_named(path: str, patterns: tuple[str, ...]) -> bool:
    """Tell whether patterns name a weight, or something that it is below.

    Args:
        path: of the weight, entries joined by "/".
        patterns: names at the top of the tree, or regular expressions for paths.
    """
    return any(re.fullmatch(f"(?:{each})(?:/.*)?", path) for each in patterns)


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

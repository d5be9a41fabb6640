"""Where a network's weights come from: a checkpoint, or random numbers (host only)."""

import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import jax
import jax.numpy as jnp
from jaxtyping import Array

from avits_jax import checkpoint
from avits_jax.network_config import config_from
from avits_jax.types import PyTree

Config = TypeVar("Config")
DTYPES = ("float32", "bfloat16")
_SPREAD = 0.02


class Weights(NamedTuple):
    """Where weights come from, and how they are held.

    Attributes:
        folder: a checkpoint; None for random weights.
        dtype: of all weights, "float32" or "bfloat16"; networks compute in it, apart
            from what they keep in float32 (norms, softmax).
        seed: of random weights.
    """

    folder: Path | None
    dtype: str = "float32"
    seed: int = 0

    def part(self, name: str) -> "Weights":
        """The weights of one network of several."""
        return self._replace(folder=self.folder and self.folder / name)


def default_dtype() -> str:
    """bfloat16 on accelerators, float32 on a CPU, which computes bfloat16 slowly."""
    return "float32" if jax.default_backend() == "cpu" else "bfloat16"


def check_dtype(dtype: str | None) -> str:
    """Return `dtype`, or the default one for None.

    Raises:
        ValueError: it is none of `DTYPES`.
    """
    if dtype not in (None, *DTYPES):
        raise ValueError(f"dtype must be one of {DTYPES}, got {dtype!r}")
    return dtype or default_dtype()


def read_network(
    weights: Weights,
    default: Config,
    like: Callable[[Config], PyTree],
    model: str,
) -> tuple[Config, PyTree]:
    """Read one network: its sizes and its weights.

    Args:
        weights: where from.
        default: its sizes where the checkpoint states none, and of random weights.
        like: sizes -> tree of `jax.ShapeDtypeStruct`.
        model: name that the checkpoint must have.

    Returns:
        The sizes, and the weights on the default device.

    Raises:
        CheckpointError: the checkpoint is missing, damaged, or of another model.
        ValueError: its sizes do not fit the network, or the dtype is unknown.
    """
    dtype = check_dtype(weights.dtype)
    if weights.folder is None:
        return default, random_weights(as_dtype(like(default), dtype), weights.seed)
    manifest = checkpoint.read_manifest(weights.folder)
    sizes = manifest.get("config") or {}
    config = config_from(type(default), sizes) if sizes else default
    found = checkpoint.load(
        weights.folder, like=as_dtype(like(config), dtype), expect_model=model
    )
    return config, found.tree


def as_dtype(like: PyTree, dtype: str) -> PyTree:
    """Return shapes with every floating dtype replaced."""

    def replace(leaf: jax.ShapeDtypeStruct) -> jax.ShapeDtypeStruct:
        floating = jnp.issubdtype(leaf.dtype, jnp.floating)
        return jax.ShapeDtypeStruct(leaf.shape, dtype if floating else leaf.dtype)

    return jax.tree.map(replace, like)


def random_weights(like: PyTree, seed: int = 0) -> PyTree:
    """Draw weights that keep activations finite; what they compute means nothing.

    Matrices get a variance of one over their input size, scales are near 1, everything
    else is near 0. A weight depends on the seed, its path and its shape alone.

    Args:
        like: tree of `jax.ShapeDtypeStruct`.
        seed: of all draws.
    """
    key = jax.random.key(seed)

    def draw(path: Any, leaf: jax.ShapeDtypeStruct) -> Array:
        name = jax.tree_util.keystr(path, simple=True, separator="/")
        own = jax.random.fold_in(key, zlib.crc32(name.encode()))
        return _draw(own, name.removesuffix("/value"), leaf.shape, leaf.dtype)

    return jax.tree_util.tree_map_with_path(draw, like)


def _draw(key: Array, name: str, shape: tuple[int, ...], dtype: Any) -> Array:
    last = name.rpartition("/")[2]
    if last == "var":
        return jnp.ones(shape, dtype)
    spread = _SPREAD
    if last == "kernel" and len(shape) > 1:
        # Of a convolution the window counts as well; a third axis may be a stack.
        window = shape[:-1] if len(shape) > 3 else shape[-2:-1]
        spread = float(jnp.prod(jnp.array(window))) ** -0.5
    return _normal(key, shape, dtype, float(last == "scale"), spread)


def _normal(key: Array, shape: tuple, dtype: Any, mean: float, spread: float) -> Array:
    return _jitted_normal(key, mean, spread, shape=shape, dtype=jnp.dtype(dtype))


@jax.jit(static_argnames=("shape", "dtype"))
def _jitted_normal(key, mean, spread, *, shape, dtype):
    return (mean + spread * jax.random.normal(key, shape)).astype(dtype)

"""Where a network's weights come from: a checkpoint, or random numbers (host only)."""

import math
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh
from jaxtyping import Array

from avits_jax.parallel.sharding import Rules, param_shardings
from avits_jax.types import PyTree
from avits_jax.weights import checkpoint
from avits_jax.weights.config import config_from

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


def read_network(
    weights: Weights,
    default: Config,
    like: Callable[[Config], PyTree],
    model: str,
    rules: Rules = (),
) -> tuple[Config, PyTree]:
    """Read one network: its sizes and its weights.

    Args:
        weights: where from.
        default: its sizes where the checkpoint states none, and of random weights.
        like: sizes -> tree of `jax.ShapeDtypeStruct`.
        model: name that the checkpoint must have.
        rules: how the weights are split over a mesh, see `parallel.sharding`.

    Returns:
        The sizes, and the weights; on a mesh, no device ever holds more than its part.

    Raises:
        CheckpointError: the checkpoint is missing, damaged, or of another model.
        ValueError: its sizes do not fit the network or the mesh, or the dtype is
            unknown.
    """
    dtype = check_dtype(weights.dtype)
    if weights.folder is None:
        shapes = as_dtype(like(default), dtype)
        shardings = _shardings(shapes, weights.mesh, rules)
        return default, random_weights(shapes, weights.seed, shardings)
    manifest = checkpoint.read_manifest(weights.folder)
    sizes = manifest.get("config") or {}
    config = config_from(type(default), sizes) if sizes else default
    shapes = as_dtype(like(config), dtype)
    found = checkpoint.load(
        weights.folder,
        like=shapes,
        expect_model=model,
        sharding=_shardings(shapes, weights.mesh, rules),
    )
    return config, found.tree


def reader(
    model: str,
    published: Config,
    reduced: Config,
    build: Callable[[Config], tuple[Any, PyTree]],
    rules: Rules = (),
) -> Callable[..., tuple[Config, PyTree]]:
    """Return ``read(weights, *, tiny) -> (sizes, weights)`` of one network.

    Args:
        model: name that a checkpoint must have.
        published: sizes of the published network.
        reduced: sizes with ``tiny``, where weights are drawn.
        build: sizes -> static graph and shapes.
        rules: see `read_network`, which raises what ``read`` does.
    """

    def read(weights: Weights, *, tiny: bool) -> tuple[Config, PyTree]:
        default = reduced if tiny else published
        return read_network(weights, default, lambda c: build(c)[1], model, rules)

    return read


def _shardings(like: PyTree, mesh: Mesh | None, rules: Rules) -> PyTree | None:
    return None if mesh is None else param_shardings(like, mesh, rules)


def as_dtype(like: PyTree, dtype: str) -> PyTree:
    """Return shapes with every floating dtype replaced."""

    def replace(leaf: jax.ShapeDtypeStruct) -> jax.ShapeDtypeStruct:
        floating = jnp.issubdtype(leaf.dtype, jnp.floating)
        return jax.ShapeDtypeStruct(leaf.shape, dtype if floating else leaf.dtype)

    return jax.tree.map(replace, like)


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


def _normal(key: Array, mean: float, spread: float, shape: tuple, dtype: Any) -> Array:
    return (mean + spread * jax.random.normal(key, shape)).astype(dtype)

"""Gather split weights one block at a time, inside the scans over stacked layers.

A network that stacks its layers scans over their weights. Where a device holds a part
of every weight and cannot hold all of them, `gather_late` runs the network on the
parts: each turn of a scan gathers its own block, and what is in no stack is gathered
before. The network is traced and its scans are found; it needs to know nothing of
devices.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
from jax.sharding import NamedSharding, PartitionSpec
from jaxtyping import Array

from avits_jax.nn.equations import Late, evaluate, first_row, read, rescan
from avits_jax.parallel.mesh import MODEL
from avits_jax.types import PyTree


@dataclass(frozen=True)
class _Part(Late):
    """This device's part of an array that is split over the model axis.

    Attributes:
        array: the part.
        dimension: the one that is split, at least 0.
    """

    array: Array
    dimension: int

    def whole(self) -> Array:
        return jax.lax.all_gather(self.array, MODEL, axis=self.dimension, tiled=True)


def gather_late(
    function: Callable[..., PyTree], params: PyTree, shardings: PyTree, *args: PyTree
) -> PyTree:
    """Return ``function(params, *args)`` of weights that a device holds a part of.

    To be called inside `jax.shard_map` over the model axis.

    Args:
        function: pure; only the scans in it matter, however deep they lie.
        params: this device's parts of the weights.
        shardings: a tree like `params`, how the whole weights are split.
        *args: what the device holds in full.
    """
    parts = list(map(_part, jax.tree.leaves(params), jax.tree.leaves(shardings)))
    like = jax.tree.map(_whole_shape, params, shardings)
    traced, shape = jax.make_jaxpr(function, return_shape=True)(like, *args)
    inputs = [*parts, *jax.tree.leaves(args)]
    outputs = evaluate(traced.jaxpr, traced.consts, inputs, _scan)
    return jax.tree.unflatten(jax.tree.structure(shape), outputs)


def part_spec(sharding: NamedSharding) -> PartitionSpec:
    """Return how `gather_late` wants an array: split over the model axis at most."""
    dimension = _dimension(sharding)
    axes = (None,) * (dimension or 0)
    return PartitionSpec() if dimension is None else PartitionSpec(*axes, MODEL)


def reads(function: Callable[..., PyTree], params: PyTree, *args: PyTree) -> PyTree:
    """Return a tree like `params` that tells which weights a function looks at.

    Args:
        function: ``(params, *args) -> ...``.
        params: arrays or shapes.
        *args: likewise.
    """
    jaxpr = jax.make_jaxpr(function)(params, *args).jaxpr
    leaves, structure = jax.tree.flatten(params)
    used = read(jaxpr)
    return jax.tree.unflatten(
        structure, [variable in used for variable in jaxpr.invars[: len(leaves)]]
    )


def _dimension(sharding: NamedSharding) -> int | None:
    return next((n for n, axis in enumerate(sharding.spec) if axis == MODEL), None)


def _part(array: Array, sharding: NamedSharding) -> Array | _Part:
    dimension = _dimension(sharding)
    return array if dimension is None else _Part(array, dimension)


def _whole_shape(part: Array, sharding: NamedSharding) -> jax.ShapeDtypeStruct:
    shape, dimension = list(part.shape), _dimension(sharding)
    if dimension is not None:
        shape[dimension] *= sharding.mesh.shape[MODEL]
    return jax.ShapeDtypeStruct(shape, part.dtype)


def _scan(params: dict[str, Any], values: list[Any]) -> list[Any]:
    """Run a scan over stacked weights of which each turn gathers its own."""
    # A split of the stack itself leaves nothing to gather turn by turn.
    rows = [v.whole() if _is_cut(v) else v for v in values[first_row(params) :]]

    def own(slices: list[Array]) -> list[Any]:
        return [
            _Part(one, row.dimension - 1) if isinstance(row, _Part) else one
            for one, row in zip(slices, rows, strict=True)
        ]

    arrays = [row.array if isinstance(row, _Part) else row for row in rows]
    return rescan(params, values, arrays, own, _scan)


def _is_cut(value: Any) -> bool:
    return isinstance(value, _Part) and value.dimension == 0

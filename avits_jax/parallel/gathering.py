"""Gather split weights one block at a time, inside the scans over stacked layers.

A network that stacks its layers scans over their weights. Where a device holds a part
of every weight and cannot hold all of them, `gather_late` runs the network on the
parts: each turn of a scan gathers its own block, and what is in no stack is gathered
before. The network is traced and its scans are found; it needs to know nothing of
devices.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import jax
from jax.sharding import NamedSharding, PartitionSpec
from jaxtyping import Array

from avits_jax.parallel.mesh import MODEL
from avits_jax.types import PyTree


@dataclass(frozen=True)
class _Part:
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
    outputs = _evaluate(traced.jaxpr, traced.consts, inputs)
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
    read = _read(jaxpr)
    return jax.tree.unflatten(
        structure, [variable in read for variable in jaxpr.invars[: len(leaves)]]
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


def _whole(value: Any) -> Any:
    return value.whole() if isinstance(value, _Part) else value


def _evaluate(jaxpr: Any, consts: Sequence[Any], inputs: Sequence[Any]) -> list[Any]:
    """Run a jaxpr; parts that it does not scan over are gathered first."""
    stacked = _scanned(jaxpr)
    env = dict(zip(jaxpr.constvars, consts, strict=True))
    for variable, value in zip(jaxpr.invars, inputs, strict=True):
        env[variable] = value if variable in stacked else _whole(value)

    def read(atom: Any) -> Any:
        return atom.val if hasattr(atom, "val") else env[atom]

    for equation in jaxpr.eqns:
        outputs = _apply(equation, [read(atom) for atom in equation.invars])
        env.update(zip(equation.outvars, outputs, strict=True))
    return [_whole(read(atom)) for atom in jaxpr.outvars]


def _apply(equation: Any, values: list[Any]) -> Sequence[Any]:
    if any(isinstance(value, _Part) for value in values):
        if equation.primitive.name == "scan":
            return _scan(equation.params, values)
        if inner := _called(equation):
            return _evaluate(inner.jaxpr, inner.consts, values)
    primitive = equation.primitive
    params = primitive.get_bind_params(equation.params)
    with equation.ctx.manager:
        outputs = primitive.bind(*map(_whole, values), **params)
    return outputs if primitive.multiple_results else [outputs]


def _scan(params: dict[str, Any], values: list[Any]) -> list[Any]:
    """Run a scan over stacked weights of which each turn gathers its own."""
    body = params["jaxpr"]
    num_consts = params["num_consts"]
    first = num_consts + params["num_carry"]
    # A split of the stack itself leaves nothing to gather turn by turn.
    rows = [v.whole() if _is_cut(v) else v for v in values[first:]]

    def turn(carry: list[Any], slices: list[Any]) -> tuple[list[Any], list[Any]]:
        own = [
            _Part(one, row.dimension - 1) if isinstance(row, _Part) else one
            for one, row in zip(slices, rows, strict=True)
        ]
        inputs = [*values[:num_consts], *carry, *own]
        outputs = _evaluate(body.jaxpr, body.consts, inputs)
        return outputs[: len(carry)], outputs[len(carry) :]

    arrays = [row.array if isinstance(row, _Part) else row for row in rows]
    carry, stacked = jax.lax.scan(
        turn,
        [_whole(value) for value in values[num_consts:first]],
        arrays,
        **{name: params[name] for name in ("length", "reverse", "unroll")},
    )
    return [*carry, *stacked]


def _is_cut(value: Any) -> bool:
    return isinstance(value, _Part) and value.dimension == 0


def _called(equation: Any) -> Any:
    """Return the jaxpr of a plain call, or None."""
    calls = ("jit", "pjit", "closed_call", "core_call")
    return equation.params["jaxpr"] if equation.primitive.name in calls else None


def _scanned(jaxpr: Any) -> set[Any]:
    """Return the inputs that something in a jaxpr scans over, at any depth."""
    found: set[int] = set()
    for equation in jaxpr.eqns:
        variables, inner = equation.invars, _called(equation)
        if equation.primitive.name == "scan":
            inner = equation.params["jaxpr"]
            consts = equation.params["num_consts"]
            found.update(map(id, variables[consts + equation.params["num_carry"] :]))
            variables = variables[:consts]
        if inner is not None:
            found |= _outside(variables, inner.jaxpr, _scanned(inner.jaxpr))
    return {each for each in jaxpr.invars if id(each) in found}


def _read(jaxpr: Any) -> set[Any]:
    """Return the inputs of a jaxpr that are used, at any depth of calls and scans."""
    found: set[int] = set(map(id, jaxpr.outvars))
    for equation in jaxpr.eqns:
        inner = _called(equation)
        if equation.primitive.name == "scan":
            inner = equation.params["jaxpr"]
        if inner is None:
            found.update(map(id, equation.invars))
        else:
            found |= _outside(equation.invars, inner.jaxpr, _read(inner.jaxpr))
    return {each for each in jaxpr.invars if id(each) in found}


def _outside(variables: Sequence[Any], jaxpr: Any, chosen: set[Any]) -> set[int]:
    """Return the identities of what is passed to the chosen inputs of a jaxpr."""
    pairs = zip(variables, jaxpr.invars, strict=False)  # the first of them
    return {id(outside) for outside, inside in pairs if inside in chosen}

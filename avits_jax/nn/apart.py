"""On a CPU, weights of stacked layers as one array for each layer.

A scan over stacked layers copies each layer's weights out of the stack before they are
multiplied. Where a pass has few rows, as that of one text, the copies take a CPU up to
half of the time. With arrays of their own nothing is copied; the layers are compiled
one by one. The network is traced and its scans are found; it needs to know nothing of
this.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from avits_jax.nn.compiling import compile_lowered
from avits_jax.nn.equations import (
    Late,
    evaluate,
    first_row,
    rescan,
    scanned,
    whole,
)

# Rows of a pass up to which its copies count, numbers of a weight from which they do,
# and layers up to which it is worth to compile each.
_FEW_ROWS, _LARGE, _MOST_LAYERS = 1024, 2**18, 100


@dataclass(frozen=True)
class _Layers(Late):
    """A stacked weight as one array for each layer."""

    arrays: Sequence[Array]

    def whole(self) -> Array:
        return jnp.stack(self.arrays)


class Apart(NamedTuple):
    """A function of weights that are apart.

    Attributes:
        function: takes what `take` gives; the result is as before.
        take: the arguments as before -> arguments of ``function``, without copies of
            what lies in the memory of a CPU.
    """

    function: Callable[..., Any]
    take: Callable[..., tuple[Any, ...]]


class Program(NamedTuple):
    """A compiled program of weights that are apart; called with those of before.

    Attributes:
        compiled: of JAX.
        take: see `Apart`.
    """

    compiled: Any
    take: Callable[..., tuple[Any, ...]]

    def __call__(self, *arguments: Any) -> Any:
        """Return what the function that it was compiled of returns."""
        return self.compiled(*self.take(*arguments))

    @property
    def out_info(self) -> Any:
        """Return shapes and dtypes of the results."""
        return self.compiled.out_info

    def memory_analysis(self) -> Any:
        """Return what XLA says of the memory that it takes."""
        return self.compiled.memory_analysis()


def compile_apart(function: Callable[..., Any], *arguments: Any) -> Program | None:
    """Compile a function for this machine's CPU with small passes' layers apart.

    Args:
        function: pure.
        *arguments: of the function, arrays or shapes.

    Returns:
        The program; None where nothing would be apart, or devices are no single CPU.
    """
    leaves = jax.tree.leaves(arguments)
    arrays = [leaf for leaf in leaves if isinstance(leaf, jax.Array)]
    alone = all(len(array.sharding.device_set) == 1 for array in arrays)
    if jax.default_backend() != "cpu" or not alone or not any(map(_is_large, leaves)):
        return None
    apart = layers_apart(function, *arguments)
    if apart is None:
        return None
    lowered = jax.jit(apart.function).lower(*apart.take(*arguments))
    return Program(compile_lowered(lowered), apart.take)


def layers_apart(function: Callable[..., Any], *arguments: Any) -> Apart | None:
    """Take stacked weights apart where a function scans over them for few rows.

    Args:
        function: pure.
        *arguments: of the function, arrays or shapes.

    Returns:
        A function for arguments of these shapes; None if it has no such weights.
    """
    traced, shape = jax.make_jaxpr(function, return_shape=True)(*arguments)
    structure: Any = jax.tree.structure(arguments)
    results: Any = jax.tree.structure(shape)
    found = scanned(traced.jaxpr, _has_few_rows)
    chosen = [v in found and _is_large(v.aval) for v in traced.jaxpr.invars]
    if not any(chosen):
        return None

    def take(*arguments: Any) -> tuple[Any, ...]:
        leaves = structure.flatten_up_to(arguments)
        pairs = zip(leaves, chosen, strict=True)
        return structure.unflatten([_rows(x) if one else x for x, one in pairs])

    def run(*arguments: Any) -> Any:
        leaves = structure.flatten_up_to(arguments)
        pairs = zip(leaves, chosen, strict=True)
        inputs = [_Layers(x) if one else x for x, one in pairs]
        outputs = evaluate(traced.jaxpr, traced.consts, inputs, _scan)
        return results.unflatten(outputs)

    run.__name__ = getattr(function, "__name__", "apart")
    return Apart(run, take)


def _is_large(weight: Any) -> bool:
    """Tell whether a weight may be a stack of large matrices."""
    shape = np.shape(weight)
    return len(shape) > 2 and math.prod(shape[1:]) >= _LARGE


def _has_few_rows(scan: Any) -> bool:
    """Tell whether there are products with a scan's weights, and all have few rows."""
    if scan.params["length"] > _MOST_LAYERS:
        return False
    body = scan.params["jaxpr"].jaxpr
    weights = set(map(id, body.invars[first_row(scan.params) :]))
    rows = [
        math.prod(equation.outvars[0].aval.shape) // _columns(equation, side)
        for equation in body.eqns
        if equation.primitive.name == "dot_general"
        for side, operand in enumerate(equation.invars)
        if id(operand) in weights and math.prod(operand.aval.shape) >= _LARGE
    ]
    return 0 < max(rows, default=0) <= _FEW_ROWS


def _columns(product: Any, side: int) -> int:
    """Return how many numbers of a row of the result an operand's axes make."""
    contracted, batch = (axes[side] for axes in product.params["dimension_numbers"])
    shape = product.invars[side].aval.shape
    return math.prod(
        size for axis, size in enumerate(shape) if axis not in (*contracted, *batch)
    )


def _rows(stack: Any) -> tuple[Any, ...]:
    """Return a stack's rows, which lie where it lies."""
    if isinstance(stack, jax.ShapeDtypeStruct):
        return (jax.ShapeDtypeStruct(stack.shape[1:], stack.dtype),) * len(stack)
    return tuple(jax.device_put(row) for row in np.asarray(stack))


def _scan(params: dict[str, Any], values: list[Any]) -> list[Any]:
    """Run a scan turn by turn where it goes over layers that are apart."""
    first = first_row(params)
    stacks = values[first:]
    if not any(isinstance(stack, _Layers) for stack in stacks):
        return rescan(params, values, stacks, list, _scan)
    body, num_consts = params["jaxpr"], params["num_consts"]
    carry = [whole(value) for value in values[num_consts:first]]
    turns = range(params["length"])
    each: list[list[Any]] = []
    for turn in reversed(turns) if params["reverse"] else turns:
        rows = [x.arrays[turn] if isinstance(x, _Layers) else x[turn] for x in stacks]
        inputs = [*values[:num_consts], *carry, *rows]
        outputs = evaluate(body.jaxpr, body.consts, inputs, _scan)
        carry, rest = outputs[: len(carry)], outputs[len(carry) :]
        each.append(rest)
    if params["reverse"]:
        each.reverse()
    return [*carry, *(jnp.stack(outputs) for outputs in zip(*each, strict=True))]

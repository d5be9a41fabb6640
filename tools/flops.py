"""Count the matrix operations of a traced JAX program; multiply-add is 2.

Scans count once per step. Elementwise work is left out, as in torch's FlopCounter.
"""

import math
from collections.abc import Callable
from typing import Any

import jax
from jax.extend import core


def count_flops(function: Callable[..., Any], *shapes: Any) -> int:
    """Matrix operations of ``function`` on arguments of these shapes.

    Args:
        function: a JAX function; it is traced, not run.
        *shapes: its arguments, arrays or trees of `jax.ShapeDtypeStruct`.
    """
    return _count(jax.make_jaxpr(function)(*shapes).jaxpr)


def _count(jaxpr: core.Jaxpr) -> int:
    return sum(_equation(equation) for equation in jaxpr.eqns)


def _equation(equation: core.JaxprEqn) -> int:
    name = equation.primitive.name
    if name == "dot_general":
        return _dot_general(equation)
    if name == "conv_general_dilated":
        return _convolution(equation)
    inner = sum(map(_count, _inner_programs(equation)))
    return inner * equation.params.get("length", 1) if name == "scan" else inner


def _inner_programs(equation: core.JaxprEqn) -> list[core.Jaxpr]:
    """Programs that an equation runs; of alternatives, the first."""
    found: list[core.Jaxpr] = []
    for name, value in equation.params.items():
        values = value if isinstance(value, tuple | list) else (value,)
        if name == "branches":
            values = values[:1]
        for item in values:
            if isinstance(item, core.ClosedJaxpr):
                found.append(item.jaxpr)
            elif isinstance(item, core.Jaxpr):
                found.append(item)
    return found


def _shape(variable: Any) -> tuple[int, ...]:
    return variable.aval.shape


def _dot_general(equation: core.JaxprEqn) -> int:
    (contract, _), _ = equation.params["dimension_numbers"]
    shape = _shape(equation.invars[0])
    summed = math.prod(shape[axis] for axis in contract)
    return 2 * summed * math.prod(_shape(equation.outvars[0]))


def _convolution(equation: core.JaxprEqn) -> int:
    kernel = _shape(equation.invars[1])
    spec = equation.params["dimension_numbers"].rhs_spec
    per_output = math.prod(kernel) // kernel[spec[0]]
    return 2 * per_output * math.prod(_shape(equation.outvars[0]))

"""Estimate the floating-point operations of a program before it is compiled.

XLA's own count takes the body of a loop once, whatever its number of turns; here scans
count every turn. Matrix products, convolutions and Fourier transforms are counted,
elementwise work is not.
"""

import math
from typing import Any


def count_flops(jaxpr: Any, *, whole_loops: bool = True) -> float:
    """Return the operations of one run, on all devices together.

    Args:
        jaxpr: a (closed) jaxpr, as ``jax.jit(f).trace(...).jaxpr``. Loops of unknown
            length count as one turn, and of several branches the dearest counts. A
            form for CPUs alone, which may multiply zeros, does not count.
        whole_loops: count every turn of a scan; False counts one, as XLA does.
    """
    jaxpr = getattr(jaxpr, "jaxpr", jaxpr)
    return sum(_equation(equation, whole_loops) for equation in jaxpr.eqns)


def _equation(equation: Any, whole_loops: bool) -> float:
    name = equation.primitive.name
    if name == "dot_general":
        return _dot(equation)
    if name == "conv_general_dilated":
        return _convolution(equation)
    if name == "fft":
        return _fft(equation)
    inner = [
        count_flops(each, whole_loops=whole_loops) for each in _jaxprs(equation.params)
    ]
    if name == "cond":
        platforms = equation.params.get("branches_platforms") or [None] * len(inner)
        pairs = zip(inner, platforms, strict=True)
        return max(count for count, platform in pairs if platform != ("cpu",))
    if name == "scan" and not whole_loops:
        return sum(inner)
    return sum(inner) * _repeats(name, equation.params)


def _repeats(name: str, params: dict[str, Any]) -> int:
    """Return how often a primitive runs what is inside it, over turns and devices."""
    if name == "scan":
        return params["length"]
    if name == "shard_map":
        (axes,) = (v for k, v in params.items() if k.endswith("manual_axes"))
        return math.prod(params["mesh"].shape[axis] for axis in axes)
    return 1


def _jaxprs(params: dict[str, Any]) -> list[Any]:
    found: list[Any] = []
    for value in params.values():
        several = value if isinstance(value, tuple | list) else (value,)
        found += [v for v in several if hasattr(v, "eqns") or hasattr(v, "jaxpr")]
    return found


def _dot(equation: Any) -> float:
    (contracted, _), _ = equation.params["dimension_numbers"]
    left = equation.invars[0].aval.shape
    depth = math.prod(left[axis] for axis in contracted)
    return 2.0 * depth * math.prod(equation.outvars[0].aval.shape)


def _convolution(equation: Any) -> float:
    kernel = equation.invars[1].aval.shape
    outputs = kernel[equation.params["dimension_numbers"].rhs_spec[0]]
    taps = math.prod(kernel) / outputs
    return 2.0 * taps * math.prod(equation.outvars[0].aval.shape)


def _fft(equation: Any) -> float:
    lengths = equation.params["fft_lengths"]
    points = math.prod(lengths)
    widest = max(math.prod(v.aval.shape) for v in (*equation.invars, *equation.outvars))
    return 5.0 * widest * math.log2(points)

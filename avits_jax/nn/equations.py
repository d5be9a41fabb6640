"""Run a traced function on weights that become arrays only where they are used."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any

import jax
from jaxtyping import Array


class Late(ABC):
    """A weight that is not an array yet."""

    @abstractmethod
    def whole(self) -> Array:
        """Make it the array that the function was traced with."""


Scan = Callable[[dict[str, Any], list[Any]], Sequence[Any]]


def evaluate(
    jaxpr: Any, consts: Sequence[Any], inputs: Sequence[Any], scan: Scan
) -> list[Any]:
    """Run a jaxpr; what is late and no scan goes over is made whole before.

    Args:
        jaxpr: as in ``jax.make_jaxpr(function)(...).jaxpr``.
        consts: of its ``constvars``.
        inputs: of its ``invars``: arrays, or `Late`.
        scan: ``(params, values) -> outputs`` of a scan equation with late values.
    """
    stacked = scanned(jaxpr)
    env = dict(zip(jaxpr.constvars, consts, strict=True))
    for variable, value in zip(jaxpr.invars, inputs, strict=True):
        env[variable] = value if variable in stacked else whole(value)

    def read(atom: Any) -> Any:
        return atom.val if hasattr(atom, "val") else env[atom]

    for equation in jaxpr.eqns:
        outputs = _apply(equation, [read(atom) for atom in equation.invars], scan)
        env.update(zip(equation.outvars, outputs, strict=True))
    return [whole(read(atom)) for atom in jaxpr.outvars]


def _apply(equation: Any, values: list[Any], scan: Scan) -> Sequence[Any]:
    if any(isinstance(value, Late) for value in values):
        if equation.primitive.name == "scan":
            return scan(equation.params, values)
        if inner := _called(equation):
            return evaluate(inner.jaxpr, inner.consts, values, scan)
    primitive = equation.primitive
    params = primitive.get_bind_params(equation.params)
    with equation.ctx.manager:
        outputs = primitive.bind(*map(whole, values), **params)
    return outputs if primitive.multiple_results else [outputs]


def whole(value: Any) -> Any:
    """Return a value as an array."""
    return value.whole() if isinstance(value, Late) else value


def first_row(params: dict[str, Any]) -> int:
    """Return the number of the first input of a scan of which each turn takes a row."""
    return params["num_consts"] + params["num_carry"]


def rescan(
    params: dict[str, Any],
    values: Sequence[Any],
    rows: Sequence[Array],
    own: Callable[[list[Array]], list[Any]],
    scan: Scan,
) -> list[Any]:
    """Run a scan equation as a scan, values of all its turns being late.

    Args:
        params: of the equation.
        values: of its inputs.
        rows: what to scan over in the place of the last of them.
        own: a row of each -> what the body has for it, arrays or `Late`.
        scan: as of `evaluate`, for scans in the body.
    """
    body, num_consts = params["jaxpr"], params["num_consts"]

    def turn(carry: list[Any], slices: list[Array]) -> tuple[list[Any], list[Any]]:
        inputs = [*values[:num_consts], *carry, *own(slices)]
        outputs = evaluate(body.jaxpr, body.consts, inputs, scan)
        return outputs[: len(carry)], outputs[len(carry) :]

    carry, stacked = jax.lax.scan(
        turn,
        [whole(value) for value in values[num_consts : first_row(params)]],
        list(rows),
        **{name: params[name] for name in ("length", "reverse", "unroll")},
    )
    return [*carry, *stacked]


def scanned(jaxpr: Any, by: Callable[[Any], bool] = lambda scan: True) -> set[Any]:
    """Return the inputs that something in a jaxpr scans over, at any depth.

    Args:
        jaxpr: as of `evaluate`.
        by: which scans count.
    """
    found: set[int] = set()
    for equation in jaxpr.eqns:
        variables, inner = equation.invars, _called(equation)
        if equation.primitive.name == "scan":
            inner = equation.params["jaxpr"]
            if by(equation):
                found.update(map(id, variables[first_row(equation.params) :]))
            variables = variables[: equation.params["num_consts"]]
        if inner is not None:
            found |= _outside(variables, inner.jaxpr, scanned(inner.jaxpr, by))
    return {each for each in jaxpr.invars if id(each) in found}


def read(jaxpr: Any) -> set[Any]:
    """Return the inputs of a jaxpr that are used, at any depth of calls and scans."""
    found: set[int] = set(map(id, jaxpr.outvars))
    for equation in jaxpr.eqns:
        inner = _called(equation)
        if equation.primitive.name == "scan":
            inner = equation.params["jaxpr"]
        if inner is None:
            found.update(map(id, equation.invars))
        else:
            found |= _outside(equation.invars, inner.jaxpr, read(inner.jaxpr))
    return {each for each in jaxpr.invars if id(each) in found}


def _called(equation: Any) -> Any:
    """Return the jaxpr of a plain call, or None."""
    calls = ("jit", "pjit", "closed_call", "core_call")
    return equation.params["jaxpr"] if equation.primitive.name in calls else None


def _outside(variables: Sequence[Any], jaxpr: Any, chosen: set[Any]) -> set[int]:
    """Return the identities of what is passed to the chosen inputs of a jaxpr."""
    pairs = zip(variables, jaxpr.invars, strict=False)  # the first of them
    return {id(outside) for outside, inside in pairs if inside in chosen}

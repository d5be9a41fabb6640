"""Static facts that every search checks before anything is traced."""

import itertools
import operator
from collections.abc import Sequence
from typing import Any

from avits_jax.sampling.schedules import check_sigmas
from avits_jax.types import Cond, Generator, Params, Verifier


def check_count(name: str, value: Any, minimum: int = 1) -> int:
    """Return `value` as an int of at least `minimum`.

    Raises:
        TypeError: it is not an integer.
        ValueError: it is too small.
    """
    try:
        count = operator.index(value)
    except TypeError as error:
        raise TypeError(f"{name} must be an integer, got {value!r}") from error
    if isinstance(value, bool):
        raise TypeError(f"{name} must be an integer, got {value!r}")
    if count < minimum:
        raise ValueError(f"{name} must be at least {minimum}, got {count}")
    return count


def check_batch(candidate_batch: int | None) -> None:
    """Check that `candidate_batch` is None or at least 1.

    Raises:
        TypeError: it is neither None nor an integer.
        ValueError: it is too small.
    """
    if candidate_batch is not None:
        check_count("candidate_batch", candidate_batch)


def check_fraction(name: str, value: float, *, zero: bool = False) -> float:
    """Return `value` if it lies in (0, 1], or in [0, 1] if `zero` is allowed.

    Raises:
        ValueError: it does not (or is NaN).
    """
    if not (0 < value <= 1 or (zero and value == 0)):
        accepted = "[0, 1]" if zero else "(0, 1]"
        raise ValueError(f"{name} must lie in {accepted}, got {value}")
    return float(value)


def check_schedule(name: str, steps: Sequence[int], last: int) -> tuple[int, ...]:
    """Return `steps` as strictly increasing step numbers in [0, last].

    Raises:
        TypeError: a step is not an integer.
        ValueError: steps are out of range or do not increase.
    """
    checked = tuple(check_count(f"every step of {name}", step, 0) for step in steps)
    if any(after <= before for before, after in itertools.pairwise(checked)):
        raise ValueError(f"{name} must increase strictly, got {checked}")
    if checked and checked[-1] > last:
        raise ValueError(f"{name} must not go beyond step {last}, got {checked}")
    return checked


def check_problem(
    params: Params | tuple[Any, Any],
    cond: Cond | tuple[Any, Any],
    generator: Generator,
    verifiers: Sequence[Verifier],
) -> tuple[Params, Cond]:
    """Return `params` and `cond` as NamedTuples that fit `generator` and `verifiers`.

    Args:
        params: `Params` or a plain pair (generator, verifiers).
        cond: `Cond` or a plain pair (generator, verifiers).
        generator: its noise levels are checked.
        verifiers: at least one.

    Raises:
        TypeError: `params` or `cond` is not a pair, or a verifier is not a `Verifier`.
        ValueError: the noise levels are no schedule, there is no verifier, or there is
            not one tree of weights and one of conditioning per verifier.
    """
    check_sigmas(generator.sigmas)
    if not verifiers:
        raise ValueError("verifiers must name at least one verifier, got none")
    for verifier in verifiers:
        if not isinstance(verifier, Verifier):
            raise TypeError(f"verifiers must hold Verifier tuples, got {verifier!r}")
    for name, pair in (("params", params), ("cond", cond)):
        if not isinstance(pair, tuple) or len(pair) != 2:
            raise TypeError(
                f"{name} must be a pair (generator, verifiers), got {type(pair)}"
            )
        if not isinstance(pair[1], tuple | list) or len(pair[1]) != len(verifiers):
            given = len(pair[1]) if isinstance(pair[1], tuple | list) else type(pair[1])
            raise ValueError(
                f"{name}[1] must hold one entry per verifier ({len(verifiers)}), "
                f"got {given}"
            )
    return (
        Params(params[0], tuple(params[1])),
        Cond(cond[0], tuple(cond[1])),
    )

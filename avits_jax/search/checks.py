"""Static facts that every search checks before anything is traced."""

import itertools
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp

from avits_jax.aggregation.checks import check_count
from avits_jax.sampling.schedules import check_sigmas
from avits_jax.search.contracts import like, structure
from avits_jax.types import Aggregator, Cond, Generator, Params, PyTree, Verifier


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


def check_generator(name: str, generator: Any) -> None:
    """Check that a generator is one, and that its noise levels fall.

    Raises:
        TypeError: it is not a `Generator`.
        ValueError: the noise levels are no schedule.
    """
    if not isinstance(generator, Generator):
        raise TypeError(f"{name} must be a Generator, got {generator!r}")
    check_sigmas(generator.sigmas)


def check_key(key: Any) -> None:
    """Check that `key` is one typed key.

    Raises:
        TypeError: it is a number or a raw key.
        ValueError: it is several keys.
    """
    dtype = getattr(key, "dtype", None)
    if dtype is None or not jnp.issubdtype(dtype, jax.dtypes.prng_key):
        raise TypeError(f"key must be a typed key, as jax.random.key(0), got {key!r}")
    if key.shape:
        raise ValueError(
            f"key must be one key, got an array of shape {list(key.shape)}: vmap over "
            "prompts for several"
        )


def check_state(aggregator: Any, num_verifiers: int, state: PyTree) -> PyTree:
    """Return the state to start from, a fresh one for None.

    Args:
        aggregator: must be an `Aggregator`.
        num_verifiers: how many it aggregates.
        state: what the caller gave.

    Raises:
        TypeError: `aggregator` is no `Aggregator`.
        ValueError: `state` has other parts or shapes than the aggregator's have.
    """
    if not isinstance(aggregator, Aggregator):
        raise TypeError(
            "aggregator must be an Aggregator, as arw([0.5, 0.5]) returns, "
            f"got {aggregator!r}"
        )
    if state is None:
        return aggregator.init(num_verifiers)
    wanted = jax.eval_shape(lambda: aggregator.init(num_verifiers))
    if structure(state) != structure(wanted):
        raise ValueError(
            "state must be that of this aggregator: accepted "
            f"{structure(wanted)}, got {structure(state)}"
        )
    found = [jnp.shape(leaf) for leaf in jax.tree.leaves(state)]
    shapes = [leaf.shape for leaf in jax.tree.leaves(wanted)]
    if found == shapes:
        return state
    if found == [found[0][:1] + shape for shape in shapes]:
        raise ValueError(
            f"state has a leading axis of {found[0][0]}: vmap over prompts for several"
        )
    raise ValueError(
        f"state must be that of this aggregator with {num_verifiers} verifiers that "
        f"guide: accepted shapes {shapes}, got {found}"
    )


def check_draft(
    draft: Generator, generator: Generator, params: PyTree, cond: PyTree, keys: Any
) -> None:
    """Check that a draft takes a generator's weights and prompt, for like latents.

    What else a candidate carries (`Candidates.extra`) is the draft's own affair.

    Args:
        draft: the cheaper generator.
        generator: the generator.
        params: the generator's weights.
        cond: the prompt as the caller gave it, not prepared.
        keys: ``[N]`` keys of candidates.

    Raises:
        ValueError: it does not.
    """

    def start(each: Generator) -> PyTree:
        def candidates(params: PyTree, cond: PyTree) -> PyTree:
            prepared = each.prepare(params, cond) if each.prepare else cond
            return each.init(params, keys, prepared)

        return jax.eval_shape(candidates, params, cond)

    wanted = start(generator)
    try:
        found = start(draft)
    except Exception as error:
        raise ValueError(
            f"draft must take the params and cond of generator: {error}"
        ) from error
    if not like(found.latents, wanted.latents):
        raise ValueError(
            "draft must start from the latents of generator, "
            f"{wanted.latents}, got {found.latents}"
        )


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
        TypeError: `generator` is not a `Generator`; see `check_jury`.
        ValueError: the noise levels are no schedule; see `check_jury`.
    """
    check_generator("generator", generator)
    return check_jury(params, cond, verifiers)


def check_jury(
    params: Params | tuple[Any, Any],
    cond: Cond | tuple[Any, Any],
    verifiers: Sequence[Any],
) -> tuple[Params, Cond]:
    """Return `params` and `cond` as NamedTuples that fit `verifiers`.

    Args:
        params: `Params` or a plain pair (generator, verifiers).
        cond: `Cond` or a plain pair (generator, verifiers).
        verifiers: at least one.

    Raises:
        TypeError: `params` or `cond` is not a pair, or a verifier is not a `Verifier`.
        ValueError: no verifier guides, or there is not one tree of weights and one of
            conditioning per verifier.
    """
    if not verifiers:
        raise ValueError("verifiers must name at least one verifier, got none")
    for verifier in verifiers:
        if not isinstance(verifier, Verifier):
            raise TypeError(f"verifiers must hold Verifier tuples, got {verifier!r}")
    if not any(verifier.guides for verifier in verifiers):
        names = [verifier.name for verifier in verifiers]
        raise ValueError(f"one of verifiers at least must guide, got {names}")
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

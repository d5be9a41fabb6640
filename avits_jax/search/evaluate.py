"""Decode, verify and finish: what all searches share."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Int

from avits_jax.sampling.chunks import over_candidates
from avits_jax.search.checks import check_problem
from avits_jax.search.cost import Cost
from avits_jax.search.rewards import stacked_rewards
from avits_jax.search.select import best_index, failed_candidates
from avits_jax.types import (
    Candidates,
    Cond,
    Generator,
    Media,
    Params,
    PyTree,
    Rewards,
    Scores,
    SearchOutput,
    Verifier,
)


class Problem(NamedTuple):
    """One prompt's search: what is generated, by what, and judged by whom.

    Attributes:
        params: weights.
        cond: the encoded prompt.
        generator: the generator.
        verifiers: the verifiers, in the order of their columns.
        candidate_batch: most candidates worked on at once, or None for all.
    """

    params: Params
    cond: Cond
    generator: Generator
    verifiers: tuple[Verifier, ...]
    candidate_batch: int | None = None


def pose(
    params: Params | tuple[Any, Any],
    cond: Cond | tuple[Any, Any],
    generator: Generator,
    verifiers: Sequence[Verifier],
    candidate_batch: int | None,
) -> Problem:
    """Return the checked problem, see `check_problem`, its prompt prepared."""
    params, cond = check_problem(params, cond, generator, verifiers)
    if generator.prepare is not None:
        prepared = generator.prepare(params.generator, cond.generator)
        cond = cond._replace(generator=prepared)
    return Problem(params, cond, generator, tuple(verifiers), candidate_batch)


def verify(problem: Problem, media: Media) -> Rewards:
    """Return the rewards of decoded clips; see `stacked_rewards`."""
    return stacked_rewards(
        problem.verifiers, problem.params.verifiers, media, problem.cond.verifiers
    )


def evaluate(problem: Problem, candidates: Candidates) -> Rewards:
    """Decode and verify candidates chunk by chunk, and let the clips go.

    Args:
        problem: the search.
        candidates: population of clean samples (predicted or final).

    Returns:
        ``[N, V]`` rewards.
    """

    def score(chunk: Candidates) -> Rewards:
        media = problem.generator.decode(problem.params.generator, chunk)
        return verify(problem, media)

    return over_candidates(score, candidates, problem.candidate_batch)


def decode_one(problem: Problem, winner: Candidates, index: Int[Array, ""]) -> Media:
    """Decode one candidate; return zeros if `index` is -1.

    Args:
        problem: the search.
        winner: the candidate, without candidate axis.
        index: its number, or -1 if every candidate failed.
    """
    one = jax.tree.map(lambda leaf: leaf[None], winner)
    media = problem.generator.decode(problem.params.generator, one)
    # Zero latents decode to something: only a real winner may show.
    return jax.tree.map(
        lambda leaf: jnp.where(index >= 0, leaf[0], jnp.zeros_like(leaf[0])), media
    )


def finish(
    best: Callable[[Int[Array, ""]], Media],
    rewards: Rewards,
    scores: Scores,
    state: PyTree,
    cost: Cost,
    *,
    latents: Candidates | None = None,
    media: Media | None = None,
) -> SearchOutput:
    """Choose the winner and put a search's output together.

    Args:
        best: returns the clip of a candidate, zeros for index -1.
        rewards: ``[N, V]``.
        scores: ``[N]``.
        state: the aggregator's state after the search.
        cost: what the search spent.
        latents: candidates to hand out, if asked for.
        media: clips to hand out, if asked for.

    Returns:
        The output.
    """
    failed = failed_candidates(rewards)
    scores = jnp.where(failed | jnp.isnan(scores), -jnp.inf, scores)
    index = best_index(scores)
    return SearchOutput(
        best=best(index),
        best_index=index,
        scores=scores,
        rewards=rewards,
        failed=failed,
        valid=jnp.ones_like(failed),
        outliers=jnp.zeros(rewards.shape[1], jnp.int32),
        aggregator_state=state,
        nfe=jnp.int32(cost.nfe),
        decodes=jnp.int32(cost.decodes),
        verifier_calls=jnp.int32(cost.verifier_calls),
        flops=None if cost.flops is None else jnp.float32(cost.flops),
        latents=latents,
        media=media,
    )

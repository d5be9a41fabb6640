"""Decode, verify and finish: what all searches share."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Int

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


def over_candidates(
    function: Callable[[Any], Any], tree: PyTree, candidate_batch: int | None
) -> PyTree:
    """Apply `function` to all candidates, at most `candidate_batch` at a time.

    Chunks run one after another in a `jax.lax.map`. They are made as equal as can be,
    and a remainder runs as a shorter chunk of its own: no candidate is padded, so that
    results and cost are those of the whole population.

    Args:
        function: maps a tree of ``[n, ...]`` arrays to another, candidate by candidate.
        tree: tree of ``[N, ...]`` arrays.
        candidate_batch: chunk size, or None for one chunk.

    Returns:
        What ``function(tree)`` returns, up to rounding.
    """
    num = jax.tree.leaves(tree)[0].shape[0]
    if candidate_batch is None or candidate_batch >= num:
        return function(tree)
    size = -(-num // -(-num // candidate_batch))
    whole = num // size * size

    def split(x: Array) -> Array:
        # Chunk c holds candidates c, c + chunks, ...: over a mesh that divides a chunk
        # evenly, every candidate stays on its device.
        return jnp.moveaxis(x[:whole].reshape(size, -1, *x.shape[1:]), 1, 0)

    def join(x: Array) -> Array:
        return jnp.moveaxis(x, 0, 1).reshape(whole, *x.shape[2:])

    mapped = jax.lax.map(function, jax.tree.map(split, tree))
    flat = jax.tree.map(join, mapped)
    if whole == num:
        return flat
    rest = function(jax.tree.map(lambda x: x[whole:], tree))
    return jax.tree.map(lambda a, b: jnp.concatenate([a, b]), flat, rest)


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
        aggregator_state=state,
        nfe=jnp.int32(cost.nfe),
        decodes=jnp.int32(cost.decodes),
        verifier_calls=jnp.int32(cost.verifier_calls),
        latents=latents,
        media=media,
    )

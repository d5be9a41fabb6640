"""Draft best of N: choose among cheap drafts, make the best again in full."""

from collections.abc import Sequence
from typing import Any

import jax.numpy as jnp

from avits_jax.aggregation.checks import check_count
from avits_jax.search.checks import (
    check_batch,
    check_draft,
    check_generator,
)
from avits_jax.search.contracts import with_checks
from avits_jax.search.cost import Cost, rollout_cost, scored_cost
from avits_jax.search.evaluate import Problem, glance, learned, pose, prepared
from avits_jax.search.keys import SearchKey, Stream, candidate_keys, stream_key
from avits_jax.search.memory import Memory
from avits_jax.search.operators import elites
from avits_jax.search.picking import take
from avits_jax.search.rollout import advance, final_output, initialise
from avits_jax.types import (
    Aggregator,
    Candidates,
    Cond,
    Generator,
    Keys,
    Params,
    PyTree,
    SearchOutput,
    Verifier,
)


def draft_best_of_n(
    params: Params | tuple[Any, Any],
    key: SearchKey,
    cond: Cond | tuple[Any, Any],
    state: PyTree = None,
    *,
    generator: Generator,
    verifiers: Sequence[Verifier],
    aggregator: Aggregator,
    draft: Generator,
    num_candidates: int,
    num_kept: int,
    candidate_batch: int | None = None,
    keep_media: bool = False,
    keep_latents: bool = False,
) -> SearchOutput:
    """Draft N candidates cheaply, make the best of them in full, return the best.

    A draft (fewer steps, no guidance) starts from the noise of its candidate, whose
    clip it resembles. Drafts are decoded, scored and ranked; only the best are made
    again, from the start and with their own keys: each ends where it would have ended
    in `best_of_n`, which this is where `draft` is `generator` and all are kept.

    Args:
        params: `Params` or a pair of the generator's weights and one tree per verifier.
        key: typed key.
        cond: `Cond` or a pair, one encoded prompt without candidate axis.
        state: the aggregator's state, or None for a fresh one; the state returned has
            learned from the finished clips alone. Few of them say little of how far
            rewards spread: give a fresh `arw` a prior, or carry its state along.
        generator: the generator.
        verifiers: one that guides at least.
        aggregator: turns rewards into scores.
        draft: a generator with the same weights, prompt and latents, such as one of
            ``generator.drafts``.
        num_candidates: candidates N that start from noise, candidate ``n`` from
            ``fold_in(key, n)``; at least 1.
        num_kept: how many are made in full, in [1, N].
        candidate_batch: most candidates worked on at once; None for all.
        keep_media: return the clips of the output's candidates; holds all of them.
        keep_latents: return their final latents.

    Returns:
        The search's output; its candidates are those made in full, in the order of
        their numbers.

    Raises:
        TypeError, ValueError: an argument is not as described here.
    """
    check_batch(candidate_batch)
    memory = Memory(candidate_batch, keep_media, keep_latents)
    problem, state = pose(
        params, key, cond, state, generator, verifiers, aggregator, memory
    )
    cost = draft_best_of_n_cost(
        generator,
        problem.num_guides,
        draft,
        num_candidates,
        num_kept,
        keep_media=keep_media,
    )
    keys = (
        candidate_keys(key, num_candidates),
        candidate_keys(stream_key(key, Stream.STEPS), num_candidates),
    )
    check_draft(draft, generator, problem.params.generator, cond[0], keys[0])
    drafts = problem._replace(generator=with_checks(draft))
    if draft.prepare is not generator.prepare:
        unprepared = problem.cond._replace(generator=cond[0])
        drafts = prepared(drafts._replace(cond=unprepared))
    # Rewards of drafts are learned in a copy of the state, which is then dropped.
    rewards = glance(drafts, _made(drafts, keys))
    scores, _ = learned(aggregator, rewards, state)
    kept = jnp.sort(elites(scores, num_kept))
    finals = _made(problem, take(keys, kept))
    return final_output(problem, aggregator, finals, state, cost)


def _made(problem: Problem, keys: tuple[Keys, Keys]) -> Candidates:
    """Return finished candidates from the keys of their noise and of their steps."""
    noise_keys, step_keys = keys
    return advance(problem, step_keys, initialise(problem, noise_keys), 0)[0]


def draft_best_of_n_cost(
    generator: Generator,
    num_verifiers: int,
    draft: Generator,
    num_candidates: int,
    num_kept: int,
    *,
    candidate_batch: int | None = None,
    keep_media: bool = False,
) -> Cost:
    """Return what `draft_best_of_n` spends with these arguments.

    Raises:
        TypeError, ValueError: an argument is out of range, see `draft_best_of_n`.
    """
    check_batch(candidate_batch)
    check_generator("draft", draft)
    check_count("num_candidates", num_candidates)
    if check_count("num_kept", num_kept) > num_candidates:
        raise ValueError(
            f"num_kept must be at most num_candidates = {num_candidates}, "
            f"got {num_kept}"
        )
    rollouts = [rollout_cost(draft, num_candidates), rollout_cost(generator, num_kept)]
    scored = num_candidates + num_kept
    return scored_cost(rollouts, num_verifiers, scored, winner_again=not keep_media)

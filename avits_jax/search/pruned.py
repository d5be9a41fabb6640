"""Pruned best of N: start wide, drop the weak on their predicted clean samples."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import jax.numpy as jnp

from avits_jax.aggregation.checks import check_count
from avits_jax.sampling.steps import flow_step
from avits_jax.search.checks import check_schedule
from avits_jax.search.cost import Cost, rollout_cost, scored_cost
from avits_jax.search.evaluate import glance, learned, pose
from avits_jax.search.keys import SearchKey, Stream, candidate_keys, stream_key
from avits_jax.search.memory import Memory, MovedFields, agree
from avits_jax.search.operators import elites
from avits_jax.search.picking import take
from avits_jax.search.rollout import (
    advance,
    final_output,
    initialise,
    predict_clean,
)
from avits_jax.types import (
    Aggregator,
    Cond,
    Generator,
    Params,
    PyTree,
    SearchOutput,
    Verifier,
)

Rungs = Sequence[tuple[int, int]]


@dataclass(frozen=True)
class PrunedOptions(MovedFields):
    """Settings of `pruned_best_of_n`: none but those that have become its keywords."""


def pruned_best_of_n(
    params: Params | tuple[Any, Any],
    key: SearchKey,
    cond: Cond | tuple[Any, Any],
    state: PyTree = None,
    *,
    generator: Generator,
    verifiers: Sequence[Verifier],
    aggregator: Aggregator,
    num_candidates: int,
    rungs: Rungs,
    options: PrunedOptions | None = None,
    candidate_batch: int | None = None,
    keep_media: bool = False,
    keep_latents: bool = False,
) -> SearchOutput:
    """Denoise N candidates, halving their number on the way; return the best survivor.

    Successive halving (Jamieson & Talwalkar 2016) on intermediate rewards. At the step
    of each rung every candidate's clean sample is predicted, decoded and scored, and
    only the best go on. The prediction also serves as that step's Euler step, so it
    costs nothing extra. Survivors keep their order and their keys: each ends where it
    would have ended in `best_of_n`.

    Args:
        params: `Params` or a pair of the generator's weights and one tree per verifier.
        key: typed key.
        cond: `Cond` or a pair, one encoded prompt without candidate axis.
        state: the aggregator's state, or None for a fresh one; the state returned has
            learned from the finished clips alone.
        generator: a generator whose steps are Euler steps (see `Generator.predict`).
        verifiers: one that guides at least.
        aggregator: turns rewards into scores.
        num_candidates: candidates N that start from noise, candidate ``n`` from
            ``fold_in(key, n)``; at least 1.
        rungs: pairs (step, number kept); steps increase, numbers fall, the first below
            `num_candidates`.
        options: see `PrunedOptions`.
        candidate_batch: most candidates worked on at once; None for all.
        keep_media: return the clips of the output's candidates; holds all of them.
        keep_latents: return their final latents.

    Returns:
        The search's output; its candidates are the survivors.

    Raises:
        TypeError, ValueError: an argument is not as described here.
    """
    memory = Memory(candidate_batch, keep_media, keep_latents)
    options, memory = agree(options, PrunedOptions, memory)
    problem, state = pose(
        params, key, cond, state, generator, verifiers, aggregator, memory
    )
    cost = pruned_cost(
        generator,
        problem.num_guides,
        num_candidates,
        rungs,
        options,
        keep_media=keep_media,
    )
    population = initialise(problem, candidate_keys(key, num_candidates))
    keys = candidate_keys(stream_key(key, Stream.STEPS), num_candidates)
    # Rewards of unfinished clips are learned in a copy of the state, then dropped.
    guide, reached, sigmas = state, 0, generator.sigmas
    for step, num_kept in rungs:
        population, _ = advance(problem, keys, population, reached, step)
        clean = predict_clean(problem, population, step)
        scores, guide = learned(aggregator, glance(problem, clean), guide)
        kept = jnp.sort(elites(scores, num_kept))
        keys, population, clean = take((keys, population, clean), kept)
        latents = flow_step(
            population.latents, clean.latents, sigmas[step], sigmas[step + 1]
        )
        population, reached = population._replace(latents=latents), step + 1
    population, _ = advance(problem, keys, population, reached)
    return final_output(problem, aggregator, population, state, cost)


def pruned_cost(
    generator: Generator,
    num_verifiers: int,
    num_candidates: int,
    rungs: Rungs,
    options: PrunedOptions | None = None,
    *,
    candidate_batch: int | None = None,
    keep_media: bool = False,
) -> Cost:
    """Return what `pruned_best_of_n` spends with these arguments.

    Raises:
        TypeError, ValueError: the arguments do not match, see `pruned_best_of_n`.
    """
    options, _ = agree(options, PrunedOptions, Memory(candidate_batch, keep_media))
    alive, reached, scored = check_count("num_candidates", num_candidates), 0, 0
    rollouts = []
    check_schedule("rungs", [step for step, _ in rungs], generator.num_steps - 1)
    for step, num_kept in rungs:
        if check_count("the number kept by each of rungs", num_kept) >= alive:
            raise ValueError(
                f"the numbers kept by rungs must fall from num_candidates = "
                f"{num_candidates}, got {tuple(rungs)}"
            )
        rollouts.append(rollout_cost(generator, alive, reached, step + 1))
        scored += alive
        alive, reached = num_kept, step + 1
    rollouts.append(rollout_cost(generator, alive, reached))
    return scored_cost(
        rollouts, num_verifiers, scored + alive, winner_again=not keep_media
    )

"""Zero-order search: look for better noise among the neighbours of the best so far."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp

from avits_jax.aggregation.checks import check_count
from avits_jax.sampling.mapped import vary_alike
from avits_jax.sampling.steps import linear_combination, noise_like
from avits_jax.search.checks import check_fraction
from avits_jax.search.cost import Cost, rollout_cost, scored_cost
from avits_jax.search.evaluate import finish, judge, pose, preferred
from avits_jax.search.keys import SearchKey, Stream, candidate_keys, stream_key
from avits_jax.search.memory import Memory, MovedFields, agree
from avits_jax.search.picking import concatenate, rankable, take
from avits_jax.search.rollout import advance, initialise
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


@dataclass(frozen=True)
class ZeroOrderOptions(MovedFields):
    """Settings of `zero_order`.

    Attributes:
        rate: share of the noise in which a neighbour differs, in (0, 1].
    """

    rate: float = 0.3


def zero_order(
    params: Params | tuple[Any, Any],
    key: SearchKey,
    cond: Cond | tuple[Any, Any],
    state: PyTree = None,
    *,
    generator: Generator,
    verifiers: Sequence[Verifier],
    aggregator: Aggregator,
    num_candidates: int,
    num_iterations: int,
    options: ZeroOrderOptions | None = None,
    candidate_batch: int | None = None,
    keep_media: bool = False,
    keep_latents: bool = False,
) -> SearchOutput:
    """Improve the initial noise step by step; return the best clip ever seen.

    Iteration 0 denoises N independent noises. Every further one denoises N neighbours
    ``sqrt(1 - rate^2) z + rate s noise`` of the pivot, the best noise among the last
    pivot and its neighbours; ``s`` is the first noise level, most often 1 (Ma et al.
    2025, "Inference-Time Scaling for Diffusion Models beyond Scaling Denoising Steps",
    sec. 3.1, with neighbours that stay Gaussian). The pivot itself is not denoised
    again. Iterations are one `jax.lax.scan`: compile time does not grow with their
    number.

    Args:
        params: `Params` or a pair of the generator's weights and one tree per verifier.
        key: typed key.
        cond: `Cond` or a pair, one encoded prompt without candidate axis.
        state: the aggregator's state, or None for a fresh one; it learns from every
            iteration.
        generator: the generator; neighbours inherit the pivot's `Candidates.extra`.
        verifiers: one that guides at least.
        aggregator: turns rewards into scores.
        num_candidates: candidates N that start from noise, candidate ``n`` from
            ``fold_in(key, n)``; at least 1;
            every further iteration has as many.
        num_iterations: iterations, the first included.
        options: see `ZeroOrderOptions`.
        candidate_batch: most candidates worked on at once; None for all.
        keep_media: return the clips of the output's candidates; holds all of them.
        keep_latents: return their final latents.

    Returns:
        The search's output; candidates are all iterations in order.

    Raises:
        TypeError, ValueError: an argument is not as described here.
    """
    memory = Memory(candidate_batch, keep_media, keep_latents)
    options, memory = agree(options, ZeroOrderOptions, memory)
    problem, state = pose(
        params, key, cond, state, generator, verifiers, aggregator, memory
    )
    cost = zero_order_cost(
        generator,
        problem.num_guides,
        num_candidates,
        num_iterations,
        options,
        keep_media=keep_media,
    )
    first = initialise(problem, candidate_keys(key, num_candidates))

    def iterate(carry, iteration):
        population, pivot, pivot_rewards, state = carry
        keys = candidate_keys(stream_key(key, Stream.STEPS, iteration), num_candidates)
        final, _ = advance(problem, keys, population, 0)
        finished = judge(problem, final)
        _, state = aggregator.update(finished.rewards, state)
        pool = concatenate([pivot, population])
        rewards = finished.rewards.astype(nobody.dtype)
        pool_rewards = concatenate([pivot_rewards, rewards])
        scores = preferred(aggregator, pool_rewards, state)
        best = jnp.argmax(rankable(scores))[None]
        pivot, pivot_rewards = take((pool, pool_rewards), best)
        noise_keys = candidate_keys(
            stream_key(key, Stream.MUTATION, iteration), num_candidates
        )
        first_level = generator.sigmas[0]
        neighbours = _neighbours(noise_keys, pivot, options.rate, first_level)
        carry = neighbours, pivot, pivot_rewards, state
        return carry, finished

    # NaN: the pivot before iteration 0 counts as failed, and any candidate beats it.
    nobody = jnp.full((1, problem.num_guides), jnp.nan)
    carry = first, take(first, jnp.zeros(1, jnp.int32)), nobody, state
    carry = vary_alike(carry, (problem.params, problem.cond, key))
    iterations = jnp.arange(num_iterations, dtype=jnp.uint32)
    (_, _, _, state), history = jax.lax.scan(iterate, carry, iterations)
    finished = jax.tree.map(lambda x: x.reshape(-1, *x.shape[2:]), history)
    scores = aggregator.score(finished.rewards, state)
    return finish(problem, aggregator, [finished], scores, state, cost)


def _neighbours(
    keys: Keys, pivot: Candidates, rate: float, first_level: PyTree
) -> Candidates:
    num = keys.shape[0]
    copies = take(pivot, jnp.zeros(num, jnp.int32))
    noise = noise_like(keys, copies.latents)
    kept = (1 - rate**2) ** 0.5

    def move(sigma: float, z: PyTree, fresh: PyTree) -> PyTree:
        return linear_combination((kept, rate * sigma), z, fresh)

    latents = jax.tree.map(move, first_level, copies.latents, noise)
    return copies._replace(latents=latents)


def zero_order_cost(
    generator: Generator,
    num_verifiers: int,
    num_candidates: int,
    num_iterations: int,
    options: ZeroOrderOptions | None = None,
    *,
    candidate_batch: int | None = None,
    keep_media: bool = False,
) -> Cost:
    """Return what `zero_order` spends with these arguments.

    Raises:
        TypeError, ValueError: an argument is out of range, see `zero_order`.
    """
    options, _ = agree(options, ZeroOrderOptions, Memory(candidate_batch, keep_media))
    check_count("num_candidates", num_candidates)
    check_count("num_iterations", num_iterations)
    check_fraction("rate", options.rate)
    num = num_candidates * num_iterations
    rollouts = [rollout_cost(generator, num)]
    return scored_cost(rollouts, num_verifiers, num, winner_again=not keep_media)

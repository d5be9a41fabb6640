"""Move a population along its trajectories, in chunks, and score where it leads."""

from typing import Any

import jax
import jax.numpy as jnp

from avits_jax.sampling.chunks import over_candidates
from avits_jax.sampling.denoise import denoise, step_keys
from avits_jax.sampling.mapped import vary_alike
from avits_jax.sampling.schedules import levels_at
from avits_jax.sampling.steps import flow_step, noise_like, sde_step
from avits_jax.search.cost import Cost
from avits_jax.search.evaluate import Finished, Problem, finish, judge, seen
from avits_jax.types import (
    Aggregator,
    Candidates,
    Keys,
    PyTree,
    SearchOutput,
)


def initialise(problem: Problem, keys: Keys) -> Candidates:
    """Return new candidates at the first noise level, one per key."""
    return problem.generator.init(
        problem.params.generator, keys, problem.cond.generator
    )


def sampled(problem: Problem, keys: tuple[Keys, Keys], *, hold: bool) -> Finished:
    """Sample candidates from start to end, all at once, and have verifiers look.

    Args:
        problem: the search.
        keys: ``[N]`` keys of their noise and of their steps.
        hold: keep their clips; else their latents, as with ``problem.keep_latents``.
    """
    init_keys, step_keys = keys
    params, cond = problem.params.generator, problem.cond.generator
    candidates = initialise(problem, init_keys)
    candidates, _ = denoise(
        params, step_keys, candidates, cond, generator=problem.generator
    )
    finished = seen(problem, problem.generator.decode(params, candidates), hold=hold)
    if hold and not problem.keep_latents:
        return finished
    return finished._replace(candidates=candidates)


def advance(
    problem: Problem,
    keys: Keys,
    candidates: Candidates,
    start: int,
    stop: int | None = None,
    captures: tuple[int, ...] = (),
) -> tuple[Candidates, tuple[Candidates, ...]]:
    """Take the generator's steps ``start .. stop - 1``; see `sampling.denoise`."""

    def move(chunk: tuple[Keys, Candidates]) -> Any:
        return denoise(
            problem.params.generator,
            *chunk,
            problem.cond.generator,
            generator=problem.generator,
            start=start,
            stop=stop,
            captures=captures,
        )

    return over_candidates(move, (keys, candidates), problem.candidate_batch)


def advance_sde(
    problem: Problem,
    keys: Keys,
    candidates: Candidates,
    start: int,
    stop: int,
    eta: float,
) -> Candidates:
    """Take stochastic steps ``start .. stop - 1`` with the generator's marginals."""
    sigmas = problem.generator.sigmas

    def move(chunk: tuple[Keys, Candidates]) -> Candidates:
        chunk_keys, population = chunk

        def body(population, i):
            clean = _predict(problem, population, i)
            noise = noise_like(step_keys(chunk_keys, i), population.latents)
            now, after = levels_at(sigmas, i), levels_at(sigmas, i + 1)
            latents = sde_step(population.latents, clean, noise, now, after, eta)
            return population._replace(latents=latents), None

        steps = jnp.arange(start, stop, dtype=jnp.int32)
        return jax.lax.scan(body, _carry(problem, population, chunk_keys), steps)[0]

    return over_candidates(move, (keys, candidates), problem.candidate_batch)


def predict_clean(problem: Problem, candidates: Candidates, step: int) -> Candidates:
    """Return the clean samples expected at `step`, as candidates to decode."""

    def predict(chunk: Candidates) -> Candidates:
        return chunk._replace(latents=_predict(problem, chunk, jnp.int32(step)))

    return over_candidates(predict, candidates, problem.candidate_batch)


def lookahead_steps(num_steps: int, start: int, lookahead: int) -> tuple[int, ...]:
    """Return the steps of a coarse run from `start` to the end, both included.

    Args:
        num_steps: steps of the full schedule.
        start: first step, below `num_steps`.
        lookahead: wanted number of coarse steps, at least 1; never more than are left.
    """
    count = min(lookahead, num_steps - start)
    return tuple(start + (num_steps - start) * i // count for i in range(count + 1))


def look_ahead(
    problem: Problem, candidates: Candidates, start: int, lookahead: int
) -> Candidates:
    """Return the clean samples that a few large Euler steps from `start` reach."""
    steps = lookahead_steps(problem.generator.num_steps, start, lookahead)
    sigmas = problem.generator.sigmas

    def run(chunk: Candidates) -> Candidates:
        def body(population, inputs):
            i, j = inputs
            clean = _predict(problem, population, i)
            now, after = levels_at(sigmas, i), levels_at(sigmas, j)
            latents = flow_step(population.latents, clean, now, after)
            return population._replace(latents=latents), None

        indices = jnp.asarray(steps, jnp.int32)
        inputs = indices[:-1], indices[1:]
        return jax.lax.scan(body, _carry(problem, chunk), inputs)[0]

    return over_candidates(run, candidates, problem.candidate_batch)


def final_output(
    problem: Problem,
    aggregator: Aggregator,
    candidates: Candidates,
    state: PyTree,
    cost: Cost,
) -> SearchOutput:
    """Score finished candidates, learn from them once, and choose the best."""
    finished = judge(problem, candidates)
    scores, state = aggregator.update(finished.rewards, state)
    return finish(problem, aggregator, [finished], scores, state, cost)


def _carry(problem: Problem, population: Candidates, *others: PyTree) -> Candidates:
    """Return a population to scan over, see `vary_alike`."""
    read = problem.params.generator, problem.cond.generator, others
    return vary_alike(population, read)


def _predict(problem: Problem, candidates: Candidates, step: Any) -> PyTree:
    return problem.generator.predict(
        problem.params.generator, candidates, step, problem.cond.generator
    )

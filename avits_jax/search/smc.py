"""Sequential Monte Carlo (Feynman-Kac steering) of stochastic trajectories."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import jax.numpy as jnp
from jaxtyping import Array, Float

from avits_jax.aggregation.checks import check_count
from avits_jax.aggregation.separable import near_zero
from avits_jax.sampling.denoise import step_keys
from avits_jax.sampling.steps import noise_like, sde_step
from avits_jax.search.checks import check_fraction, check_schedule
from avits_jax.search.cost import Cost, rollout_cost, scored_cost
from avits_jax.search.evaluate import Problem, glance, pose
from avits_jax.search.keys import SearchKey, Stream, candidate_keys, stream_key
from avits_jax.search.memory import Memory, MovedFields, agree
from avits_jax.search.picking import take
from avits_jax.search.resampling import (
    Ancestors,
    LogWeights,
    effective_sample_size,
    systematic,
)
from avits_jax.search.rollout import (
    advance_sde,
    final_output,
    initialise,
    predict_clean,
)
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

ScoreHistory = Float[Array, "T N"]
Potential = Callable[[ScoreHistory], LogWeights]


def difference_potential(scores: ScoreHistory) -> LogWeights:
    """Return ``r_t - r_{t-1}``; the first time ``r_t``.

    A particle whose previous score is not finite counts as unchanged.
    """
    if scores.shape[0] == 1:
        return scores[0]
    now, before = scores[-1], scores[-2]
    # The inner where keeps -inf - -inf out of the difference.
    known = jnp.isfinite(before)
    return jnp.where(known, now - jnp.where(known, before, 0), now * 0)


def max_potential(scores: ScoreHistory) -> LogWeights:
    """Return the best score so far."""
    return scores.max(axis=0)


def sum_potential(scores: ScoreHistory) -> LogWeights:
    """Return the sum of all scores so far; those that are not finite count as 0."""
    return jnp.where(jnp.isfinite(scores), scores, 0).sum(axis=0)


@dataclass(frozen=True)
class SMCOptions(MovedFields):
    """Settings of `smc`.

    Attributes:
        potential: `difference_potential`, `max_potential`, `sum_potential` or a
            function of the scores so far ``[T, N]``, far offsets taken off.
        strength: factor of the potential (lambda), above 0.
        resample: `systematic` or `multinomial`.
        ess_threshold: resample when the effective sample size falls below this share of
            N, in [0, 1]; 1 resamples whenever weights differ, 0 never.
        eta: stochasticity of the steps, in [0, 1]; 0 leaves copies identical.
    """

    potential: Potential = difference_potential
    strength: float = 1.0
    resample: Callable[[SearchKey, LogWeights], Ancestors] = systematic
    ess_threshold: float = 0.5
    eta: float = 1.0


def smc(
    params: Params | tuple[Any, Any],
    key: SearchKey,
    cond: Cond | tuple[Any, Any],
    state: PyTree = None,
    *,
    generator: Generator,
    verifiers: Sequence[Verifier],
    aggregator: Aggregator,
    num_candidates: int,
    resample_steps: Sequence[int],
    options: SMCOptions | None = None,
    candidate_batch: int | None = None,
    keep_media: bool = False,
    keep_latents: bool = False,
) -> SearchOutput:
    """Steer N stochastic trajectories by resampling; return the best final clip.

    At each resampling step the predicted clean samples are decoded and scored, weights
    grow by ``exp(strength G)``, and where they are too uneven the particles are drawn
    anew (Singhal et al. 2025, "A General Framework for Inference-time Scaling and
    Steering of Diffusion Models"). Steps are `sde_step`, which has the marginals of the
    generator's ODE; the prediction of a resampling step also serves its step. Scores of
    earlier steps are computed again with the newest weights before they are compared.
    Weights depend on differences of scores alone, so a verifier whose rewards lie far
    from zero, where float32 has no digits for these, is measured from its best one: at
    all steps from the same, or differences between steps would be lost.

    Args:
        params: `Params` or a pair of the generator's weights and one tree per verifier.
        key: typed key.
        cond: `Cond` or a pair, one encoded prompt without candidate axis.
        state: the aggregator's state, or None for a fresh one; the state returned has
            learned from the finished clips alone.
        generator: `init`, `predict` and `decode` are used, `step` is not.
        verifiers: one that guides at least.
        aggregator: turns rewards into scores.
        num_candidates: candidates N that start from noise, candidate ``n`` from
            ``fold_in(key, n)``; at least 1.
        resample_steps: increasing steps, each below the generator's number of steps.
        options: see `SMCOptions`.
        candidate_batch: most candidates worked on at once; None for all.
        keep_media: return the clips of the output's candidates; holds all of them.
        keep_latents: return their final latents.

    Returns:
        The search's output; its candidates are the final particles.

    Raises:
        TypeError, ValueError: an argument is not as described here.
    """
    memory = Memory(candidate_batch, keep_media, keep_latents)
    options, memory = agree(options, SMCOptions, memory)
    problem, state = pose(
        params, key, cond, state, generator, verifiers, aggregator, memory
    )
    cost = smc_cost(
        generator,
        problem.num_guides,
        num_candidates,
        resample_steps,
        options,
        keep_media=keep_media,
    )
    keys = candidate_keys(stream_key(key, Stream.STEPS), num_candidates)
    population = initialise(problem, candidate_keys(key, num_candidates))
    # Rewards of unfinished clips are learned in a copy of the state, then dropped.
    guide, reached, eta = state, 0, options.eta
    history: list[Array] = []
    log_weights = jnp.zeros(num_candidates)
    for round_index, step in enumerate(resample_steps):
        population = advance_sde(problem, keys, population, reached, step, eta)
        clean = predict_clean(problem, population, step)
        history.append(glance(problem, clean))
        _, guide = aggregator.update(history[-1], guide)
        scores = near_zero(aggregator, history, guide)
        log_weights = _reweight(log_weights, scores, options)
        ancestors, log_weights = _resample(
            stream_key(key, Stream.SELECTION, round_index), log_weights, options
        )
        population, clean, history = take((population, clean, history), ancestors)
        population = _step(problem, keys, population, clean, step, eta)
        reached = step + 1
    population = advance_sde(
        problem, keys, population, reached, generator.num_steps, eta
    )
    return final_output(problem, aggregator, population, state, cost)


def _reweight(
    log_weights: LogWeights, scores: ScoreHistory, options: SMCOptions
) -> LogWeights:
    """Add the potential; a particle that failed now has no weight left."""
    gain = options.strength * options.potential(scores)
    alive = jnp.isfinite(scores[-1])
    grown = log_weights + jnp.where(alive, gain, 0).astype(log_weights.dtype)
    return jnp.where(alive, grown, -jnp.inf)


def _resample(
    key: SearchKey, log_weights: LogWeights, options: SMCOptions
) -> tuple[Ancestors, LogWeights]:
    num = log_weights.shape[0]
    uneven = effective_sample_size(log_weights) < options.ess_threshold * num
    drawn = options.resample(key, log_weights)
    same = jnp.arange(num, dtype=drawn.dtype)
    return jnp.where(uneven, drawn, same), jnp.where(uneven, 0, log_weights)


def _step(
    problem: Problem,
    keys: Keys,
    population: Candidates,
    clean: Candidates,
    step: int,
    eta: float,
) -> Candidates:
    sigmas = problem.generator.sigmas
    noise = noise_like(step_keys(keys, step), population.latents)
    latents = sde_step(
        population.latents, clean.latents, noise, sigmas[step], sigmas[step + 1], eta
    )
    return population._replace(latents=latents)


def smc_cost(
    generator: Generator,
    num_verifiers: int,
    num_candidates: int,
    resample_steps: Sequence[int],
    options: SMCOptions | None = None,
    *,
    candidate_batch: int | None = None,
    keep_media: bool = False,
) -> Cost:
    """Return what `smc` spends with these arguments.

    Raises:
        TypeError, ValueError: an argument is out of range, see `smc`.
    """
    options, _ = agree(options, SMCOptions, Memory(candidate_batch, keep_media))
    check_count("num_candidates", num_candidates)
    check_schedule("resample_steps", resample_steps, generator.num_steps - 1)
    check_fraction("ess_threshold", options.ess_threshold, zero=True)
    check_fraction("eta", options.eta, zero=True)
    if not options.strength > 0:
        raise ValueError(f"strength must be above 0, got {options.strength}")
    rollouts = [rollout_cost(generator, num_candidates)]
    scored = num_candidates * (len(resample_steps) + 1)
    return scored_cost(rollouts, num_verifiers, scored, winner_again=not keep_media)

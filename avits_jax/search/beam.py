"""Latent beam search: branch, look ahead cheaply, keep the best beams."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp

from avits_jax.aggregation.checks import check_count
from avits_jax.sampling.steps import noise_like, sde_step
from avits_jax.search.checks import check_fraction, check_schedule
from avits_jax.search.cost import Cost, rollout_cost, scored_cost
from avits_jax.search.evaluate import Problem, glance, learned, pose
from avits_jax.search.keys import SearchKey, Stream, candidate_keys, stream_key
from avits_jax.search.memory import Memory, MovedFields, agree
from avits_jax.search.operators import elites
from avits_jax.search.picking import take
from avits_jax.search.rollout import (
    advance,
    final_output,
    initialise,
    look_ahead,
    lookahead_steps,
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


@dataclass(frozen=True)
class BeamOptions(MovedFields):
    """Settings of `beam_search`.

    Attributes:
        branch_steps: increasing steps at which beams branch, each at most
            ``num_steps - 2``; () only chooses among the first noises.
        lookahead: Euler steps from a child to the clean sample that is scored, at least
            1; where fewer steps are left, those.
        eta: stochasticity of branching, in (0, 1].
    """

    branch_steps: tuple[int, ...] = ()
    lookahead: int = 2
    eta: float = 1.0


def beam_search(
    params: Params | tuple[Any, Any],
    key: SearchKey,
    cond: Cond | tuple[Any, Any],
    state: PyTree = None,
    *,
    generator: Generator,
    verifiers: Sequence[Verifier],
    aggregator: Aggregator,
    num_beams: int,
    num_children: int,
    options: BeamOptions | None = None,
    candidate_batch: int | None = None,
    keep_media: bool = False,
    keep_latents: bool = False,
) -> SearchOutput:
    """Keep K beams, let each branch into B children at chosen steps, keep the best K.

    The first K beams are the best of ``K B`` noises. Children differ by the noise of
    one `sde_step` and are scored on the clean sample that a few large Euler steps reach
    (Oshima et al. 2025, "Inference-Time Text-to-Video Alignment with Diffusion Latent
    Beam Search"); between branchings beams take the generator's own steps.

    Args:
        params: `Params` or a pair of the generator's weights and one tree per verifier.
        key: typed key.
        cond: `Cond` or a pair, one encoded prompt without candidate axis.
        state: the aggregator's state, or None for a fresh one; the state returned has
            learned from the finished clips alone.
        generator: the generator.
        verifiers: one that guides at least.
        aggregator: turns rewards into scores.
        num_beams: beams K, at least 1. ``K B`` candidates start from noise: the
            `num_candidates` of other searches.
        num_children: children B of each beam, at least 1.
        options: see `BeamOptions`.
        candidate_batch: most candidates worked on at once; None for all.
        keep_media: return the clips of the output's candidates; holds all of them.
        keep_latents: return their final latents.

    Returns:
        The search's output; its candidates are the K final beams.

    Raises:
        TypeError, ValueError: an argument is not as described here.
    """
    memory = Memory(candidate_batch, keep_media, keep_latents)
    options, memory = agree(options, BeamOptions, memory)
    problem, state = pose(
        params, key, cond, state, generator, verifiers, aggregator, memory
    )
    cost = beam_cost(
        generator,
        problem.num_guides,
        num_beams,
        num_children,
        options,
        keep_media=keep_media,
    )
    keys = candidate_keys(stream_key(key, Stream.STEPS), num_beams)
    num = num_beams * num_children
    children = initialise(problem, candidate_keys(key, num))
    # Rewards of unfinished clips are learned in a copy of the state, then dropped.
    guide, reached = state, 0
    for round_index, step in enumerate(options.branch_steps):
        beams, guide = _prune(
            problem, aggregator, children, guide, reached, num_beams, options
        )
        beams, _ = advance(problem, keys, beams, reached, step)
        noise_keys = candidate_keys(stream_key(key, Stream.MUTATION, round_index), num)
        children = _branch(problem, noise_keys, beams, step, num_children, options.eta)
        reached = step + 1
    beams, _ = _prune(problem, aggregator, children, guide, reached, num_beams, options)
    beams, _ = advance(problem, keys, beams, reached)
    return final_output(problem, aggregator, beams, state, cost)


def _prune(
    problem: Problem,
    aggregator: Aggregator,
    children: Candidates,
    guide: PyTree,
    step: int,
    num_beams: int,
    options: BeamOptions,
) -> tuple[Candidates, PyTree]:
    clean = look_ahead(problem, children, step, options.lookahead)
    scores, guide = learned(aggregator, glance(problem, clean), guide)
    return take(children, elites(scores, num_beams)), guide


def _branch(
    problem: Problem,
    noise_keys: Keys,
    beams: Candidates,
    step: int,
    num_children: int,
    eta: float,
) -> Candidates:
    """Return children one step on, those of one beam next to each other."""
    clean = predict_clean(problem, beams, step).latents
    beams, clean = jax.tree.map(
        lambda leaf: jnp.repeat(leaf, num_children, axis=0), (beams, clean)
    )
    noise = noise_like(noise_keys, beams.latents)
    sigmas = problem.generator.sigmas
    latents = sde_step(beams.latents, clean, noise, sigmas[step], sigmas[step + 1], eta)
    return beams._replace(latents=latents)


def beam_cost(
    generator: Generator,
    num_verifiers: int,
    num_beams: int,
    num_children: int,
    options: BeamOptions | None = None,
    *,
    candidate_batch: int | None = None,
    keep_media: bool = False,
) -> Cost:
    """Return what `beam_search` spends with these arguments.

    Raises:
        TypeError, ValueError: an argument is out of range, see `beam_search`.
    """
    options, _ = agree(options, BeamOptions, Memory(candidate_batch, keep_media))
    check_count("num_beams", num_beams)
    check_count("num_children", num_children)
    check_count("lookahead", options.lookahead)
    check_fraction("eta", options.eta)
    check_schedule("branch_steps", options.branch_steps, generator.num_steps - 2)
    children = num_beams * num_children
    starts = (0, *(step + 1 for step in options.branch_steps))
    ahead = [
        step
        for start in starts
        for step in lookahead_steps(generator.num_steps, start, options.lookahead)[:-1]
    ]
    rollouts = [rollout_cost(generator, children, step, step + 1) for step in ahead]
    rollouts.append(rollout_cost(generator, num_beams))
    scored = children * len(starts) + num_beams
    return scored_cost(rollouts, num_verifiers, scored, winner_again=not keep_media)

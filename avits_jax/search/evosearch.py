"""EvoSearch: evolve a population of denoising trajectories at chosen steps."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from avits_jax.aggregation.checks import check_count
from avits_jax.search.checks import check_schedule
from avits_jax.search.cost import Cost, rollout_cost, scored_cost
from avits_jax.search.evaluate import Finished, Problem, finish, judge, pose, preferred
from avits_jax.search.keys import SearchKey, Stream, candidate_keys, stream_key
from avits_jax.search.memory import Memory, MovedFields, agree
from avits_jax.search.operators import (
    Mutation,
    NoiseDraw,
    Parents,
    TournamentDraw,
    draw_noise,
    draw_tournaments,
    elites,
    level_mutation,
    tournament,
    tournament_size,
)
from avits_jax.search.picking import concatenate, take_from
from avits_jax.search.rollout import advance, initialise
from avits_jax.types import (
    Aggregator,
    Candidates,
    Cond,
    Generator,
    Keys,
    Params,
    PyTree,
    Rewards,
    Scores,
    SearchOutput,
    Verifier,
)


@dataclass(frozen=True)
class EvoOptions(MovedFields):
    """Settings of `evosearch`.

    Attributes:
        num_elites: candidates that survive a generation unchanged, at least 1.
        tournament_ratio: share of all candidates so far that meet in one tournament, in
            (0, 1].
        mutation: `level_mutation` keeps the noise level, and is stronger than
            `reference_mutation`, the original's.
        redenoise_elites: denoise, decode and score elites again in every generation, as
            the original does. With a deterministic generator the result is the same.
        extra_by_slot: leave `Candidates.extra` where it is while selection moves the
            latents, as the original does: slot i keeps that of the first generation's
            slot i. Needs `redenoise_elites`, and no generation larger than the first.
        draw_tournament: replaces the random draw of tournaments (replay, tests).
        draw_noise: replaces the random draw of mutation noise (replay, tests).
    """

    num_elites: int = 2
    tournament_ratio: float = 0.5
    mutation: Mutation = level_mutation()
    redenoise_elites: bool = False
    extra_by_slot: bool = False
    draw_tournament: TournamentDraw = draw_tournaments
    draw_noise: NoiseDraw = draw_noise


class _Block(NamedTuple):
    """Candidates that ran together: trajectories where needed, and where they led."""

    trail: dict[int, Candidates]
    end: Finished


def evosearch(
    params: Params | tuple[Any, Any],
    key: SearchKey,
    cond: Cond | tuple[Any, Any],
    state: PyTree = None,
    *,
    generator: Generator,
    verifiers: Sequence[Verifier],
    aggregator: Aggregator,
    schedule: Sequence[int],
    population_sizes: Sequence[int],
    options: EvoOptions | None = None,
    candidate_batch: int | None = None,
    keep_media: bool = False,
    keep_latents: bool = False,
) -> SearchOutput:
    """Evolve candidates at the steps of `schedule` and return the best ever seen.

    Generation 0 is denoised from noise. At ``schedule[g]`` all candidates so far are
    scored with the newest aggregator state; the best survive as elites, and children of
    tournament winners, mutated at that noise level, are denoised from there (He et al.
    2025, "Scaling Image and Video Generation via Test-Time Evolutionary Search").

    Differs from the original, each with a switch in `EvoOptions`: elites are not
    denoised, decoded or scored again; mutation keeps the noise level and is stronger.
    Conditioning that is random per candidate (`Candidates.extra`) is inherited from the
    parent.

    Args:
        params: `Params` or a pair of the generator's weights and one tree per verifier.
        key: typed key.
        cond: `Cond` or a pair, one encoded prompt without candidate axis.
        state: the aggregator's state, or None for a fresh one; it learns from every
            generation, elites included.
        generator: the generator.
        verifiers: one that guides at least.
        aggregator: turns rewards into scores.
        schedule: increasing steps at which evolution takes place, each below the
            generator's number of steps.
        population_sizes: size of every generation, one more than `schedule` has steps;
            each above ``options.num_elites`` (the first may equal it). The first is the
            `num_candidates` of other searches: those that start from noise.
        options: see `EvoOptions`.
        candidate_batch: most candidates worked on at once; None for all.
        keep_media: return the clips of the output's candidates; holds all of them.
        keep_latents: return their final latents.

    Returns:
        The search's output; candidates are all generations in order, elites first in
        each, so that a surviving candidate appears more than once.

    Raises:
        TypeError, ValueError: an argument is not as described here.
    """
    memory = Memory(candidate_batch, keep_media, keep_latents)
    options, memory = agree(options, EvoOptions, memory)
    problem, state = pose(
        params, key, cond, state, generator, verifiers, aggregator, memory
    )
    cost = evosearch_cost(
        generator,
        problem.num_guides,
        schedule,
        population_sizes,
        options,
        keep_media=keep_media,
    )
    schedule, sizes = _check(generator, schedule, population_sizes, options)
    start = initialise(problem, candidate_keys(key, sizes[0]))
    captures = _captures(schedule)
    blocks = [_run(problem, _step_keys(key, 0, sizes[0]), start, 0, captures)]
    _, state = aggregator.update(blocks[0].end.rewards, state)
    for generation, (step, size) in enumerate(zip(schedule, sizes[1:], strict=True)):
        scores = preferred(aggregator, _rewards(blocks), state)
        kept = elites(scores, options.num_elites)
        children = _breed(key, generation, problem, options, blocks, scores, step, size)
        captures = _captures(schedule[generation + 1 :])
        keys = _step_keys(key, generation + 1, size)
        if options.redenoise_elites:
            again = take_from([block.trail[step] for block in blocks], kept)
            everyone = concatenate([again, children])
            if options.extra_by_slot:
                slots = jax.tree.map(lambda leaf, n=size: leaf[:n], start.extra)
                everyone = everyone._replace(extra=slots)
            newest = [_run(problem, keys, everyone, step, captures)]
        else:
            past = [_only(block, captures) for block in blocks]
            keys = keys[options.num_elites :]
            newest = [
                take_from(past, kept),
                _run(problem, keys, children, step, captures),
            ]
        _, state = aggregator.update(_rewards(newest), state)
        blocks = [_only(block, captures) for block in blocks] + newest
    scores = aggregator.score(_rewards(blocks), state)
    ends = [block.end for block in blocks]
    return finish(problem, aggregator, ends, scores, state, cost)


def _breed(
    key: SearchKey,
    generation: int,
    problem: Problem,
    options: EvoOptions,
    blocks: list[_Block],
    scores: Scores,
    step: int,
    size: int,
) -> Candidates:
    """Choose parents by tournament and mutate them at the noise level of `step`."""
    num_children = size - options.num_elites
    num = scores.shape[0]
    draws = options.draw_tournament(
        stream_key(key, Stream.SELECTION, generation),
        generation,
        num_children,
        num,
        tournament_size(options.tournament_ratio, num),
    )
    winners = tournament(scores, draws)
    parents = take_from([block.trail[step] for block in blocks], winners)
    later = take_from([block.trail[step + 1].latents for block in blocks], winners)
    sigmas = problem.generator.sigmas
    family = Parents(parents.latents, later, step, sigmas[step], sigmas[step + 1])
    keys = candidate_keys(stream_key(key, Stream.MUTATION, generation), num_children)
    noise = options.draw_noise(keys, generation, parents.latents)
    return parents._replace(latents=options.mutation(family, noise))


def _run(
    problem: Problem,
    keys: Keys,
    start: Candidates,
    step: int,
    captures: tuple[int, ...],
) -> _Block:
    """Denoise from `step` to the end and score; remember where evolution will act."""
    final, captured = advance(problem, keys, start, step, captures=captures)
    trail = dict(zip(captures, captured, strict=True))
    return _Block(trail, judge(problem, final))


def _captures(schedule: tuple[int, ...]) -> tuple[int, ...]:
    """Return the steps to remember: a mutation needs its own and the one after it."""
    return tuple(sorted({step + ahead for step in schedule for ahead in (0, 1)}))


def _only(block: _Block, steps: tuple[int, ...]) -> _Block:
    return block._replace(trail={step: block.trail[step] for step in steps})


def _rewards(blocks: list[_Block]) -> Rewards:
    return jnp.concatenate([block.end.rewards for block in blocks])


def _step_keys(key: SearchKey, generation: int, size: int) -> Keys:
    return candidate_keys(stream_key(key, Stream.STEPS, generation), size)


def _check(
    generator: Generator,
    schedule: Sequence[int],
    population_sizes: Sequence[int],
    options: EvoOptions,
) -> tuple[tuple[int, ...], tuple[int, ...]]:
    steps = check_schedule("schedule", schedule, generator.num_steps - 1)
    num_elites = check_count("num_elites", options.num_elites)
    tournament_size(options.tournament_ratio, 1)
    if options.extra_by_slot and not options.redenoise_elites:
        raise ValueError(
            "extra_by_slot=True needs redenoise_elites=True: a kept elite is not "
            "denoised again"
        )
    if len(population_sizes) != len(steps) + 1:
        raise ValueError(
            f"population_sizes must have one entry more than schedule "
            f"({len(steps) + 1}), got {tuple(population_sizes)}"
        )
    sizes = tuple(check_count("population_sizes", size) for size in population_sizes)
    if steps and (sizes[0] < num_elites or min(sizes[1:]) <= num_elites):
        raise ValueError(
            f"population_sizes must leave room for children beside num_elites = "
            f"{num_elites} (the first may equal it), got {sizes}"
        )
    if options.extra_by_slot and max(sizes) > sizes[0]:
        raise ValueError(
            "population_sizes must not exceed the first with extra_by_slot=True, "
            f"got {sizes}"
        )
    return steps, sizes


def evosearch_cost(
    generator: Generator,
    num_verifiers: int,
    schedule: Sequence[int],
    population_sizes: Sequence[int],
    options: EvoOptions | None = None,
    *,
    candidate_batch: int | None = None,
    keep_media: bool = False,
) -> Cost:
    """Return what `evosearch` spends with these arguments.

    Raises:
        TypeError, ValueError: the arguments do not match, see `evosearch`.
    """
    options, _ = agree(options, EvoOptions, Memory(candidate_batch, keep_media))
    steps, sizes = _check(generator, schedule, population_sizes, options)
    kept = 0 if options.redenoise_elites else options.num_elites
    worked = [sizes[0], *(size - kept for size in sizes[1:])]
    rollouts = [
        rollout_cost(generator, num, step)
        for num, step in zip(worked, (0, *steps), strict=True)
    ]
    return scored_cost(
        rollouts, num_verifiers, sum(worked), winner_again=not keep_media
    )


def evosearch_within(
    max_nfe: int,
    generator: Generator,
    schedule: Sequence[int],
    population_sizes: Sequence[int],
    options: EvoOptions | None = None,
) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Return as many generations of a plan as a budget pays for.

    Args:
        max_nfe: budget of network evaluations.
        generator: the generator.
        schedule: planned steps of evolution.
        population_sizes: planned sizes, one more than `schedule` has steps.
        options: see `EvoOptions`.

    Returns:
        The first steps of `schedule` and their population sizes.

    Raises:
        ValueError: the budget does not pay for generation 0.
    """
    check_count("max_nfe", max_nfe)
    for last in range(len(schedule), -1, -1):
        steps, sizes = tuple(schedule[:last]), tuple(population_sizes[: last + 1])
        cost = evosearch_cost(generator, 1, steps, sizes, options)
        if cost.nfe <= max_nfe:
            return steps, sizes
    raise ValueError(
        f"max_nfe must be at least {cost.nfe}, the cost of generation 0, got {max_nfe}"
    )

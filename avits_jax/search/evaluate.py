"""Pose a problem, decode, verify and finish: what all searches share."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Int

from avits_jax.aggregation.checks import count_outliers
from avits_jax.aggregation.separable import preferences
from avits_jax.sampling.chunks import over_candidates
from avits_jax.search.checks import check_key, check_problem, check_state
from avits_jax.search.contracts import with_checks
from avits_jax.search.cost import Cost
from avits_jax.search.memory import Memory
from avits_jax.search.picking import (
    best_index,
    concatenate,
    failed_candidates,
    pick_from,
)
from avits_jax.search.rewards import stacked_rewards
from avits_jax.types import (
    Aggregator,
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
        keep_media: hand out the clips of the output's candidates.
        keep_latents: hand out their final latents.
    """

    params: Params
    cond: Cond
    generator: Generator
    verifiers: tuple[Verifier, ...]
    candidate_batch: int | None = None
    keep_media: bool = False
    keep_latents: bool = False

    @property
    def num_guides(self) -> int:
        """Return how many verifiers guide; the others only watch."""
        return sum(verifier.guides for verifier in self.verifiers)


class Finished(NamedTuple):
    """Finished candidates, and what verifiers say of them.

    Attributes:
        rewards: ``[N, G]`` of the verifiers that guide: what is aggregated.
        watched: ``[N, W]`` of those that only watch, or None where there are none.
        candidates: final latents, or None where nobody needs them any more.
        media: clips, or None where they have been let go.
    """

    rewards: Rewards
    watched: Rewards | None
    candidates: Candidates | None
    media: Media | None


def pose(
    params: Params | tuple[Any, Any],
    key: Any,
    cond: Cond | tuple[Any, Any],
    state: PyTree,
    generator: Generator,
    verifiers: Sequence[Verifier],
    aggregator: Aggregator,
    memory: Memory,
) -> tuple[Problem, PyTree]:
    """Return the checked problem, its prompt prepared, and the state to start from.

    Raises:
        TypeError, ValueError: an argument of a search is not as its docstring says.
    """
    params, cond = check_problem(params, cond, generator, verifiers)
    check_key(key)
    checked = with_checks(generator)
    problem = Problem(params, cond, checked, tuple(verifiers), *memory)
    state = check_state(aggregator, problem.num_guides, state)
    return prepared(problem), state


def prepared(problem: Problem) -> Problem:
    """Return `problem` with what its generator fixes once for a prompt."""
    generator, cond = problem.generator, problem.cond
    if generator.prepare is None:
        return problem
    ready = generator.prepare(problem.params.generator, cond.generator)
    return problem._replace(cond=cond._replace(generator=ready))


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


def glance(problem: Problem, clean: Candidates) -> Rewards:
    """Return ``[N, G]`` rewards of clips on the way, which only guides look at.

    They are decoded by the generator's `preview`, if it has one.
    """
    generator = problem.generator
    sees = [verifier.guides for verifier in problem.verifiers]

    def chosen(entries: tuple[Any, ...]) -> tuple[Any, ...]:
        return tuple(entry for entry, use in zip(entries, sees, strict=True) if use)

    params, cond = problem.params, problem.cond
    guided = problem._replace(
        generator=generator._replace(decode=generator.preview or generator.decode),
        params=params._replace(verifiers=chosen(params.verifiers)),
        cond=cond._replace(verifiers=chosen(cond.verifiers)),
        verifiers=chosen(problem.verifiers),
    )
    return evaluate(guided, clean)


def judge(problem: Problem, candidates: Candidates) -> Finished:
    """Decode finished candidates chunk by chunk, and have all verifiers look."""

    def see(chunk: Candidates) -> Finished:
        media = problem.generator.decode(problem.params.generator, chunk)
        return seen(problem, media, hold=problem.keep_media)

    looked = over_candidates(see, candidates, problem.candidate_batch)
    return looked._replace(candidates=candidates)


def seen(problem: Problem, media: Media, *, hold: bool) -> Finished:
    """Return what all verifiers say of finished clips; keep these if `hold`."""
    rewards, watched = verify(problem, media), None
    if problem.num_guides < len(problem.verifiers):
        columns = list(zip(problem.verifiers, rewards.T, strict=True))
        watched = jnp.stack([each for v, each in columns if not v.guides], axis=1)
        rewards = jnp.stack([each for v, each in columns if v.guides], axis=1)
    return Finished(rewards, watched, None, media if hold else None)


def preferred(aggregator: Aggregator, rewards: Rewards, state: PyTree) -> Scores:
    """Score rewards that have been learned from; return what to choose by."""
    scores = aggregator.score(rewards, state)
    return preferences(aggregator, rewards, state, scores)


def learned(
    aggregator: Aggregator, rewards: Rewards, state: PyTree
) -> tuple[Scores, PyTree]:
    """Learn from rewards on the way; return what to choose by, and the state."""
    scores, state = aggregator.update(rewards, state)
    return preferences(aggregator, rewards, state, scores), state


def winner(
    aggregator: Aggregator, rewards: Rewards, scores: Scores, state: PyTree
) -> tuple[Scores, Int[Array, ""]]:
    """Choose the best of candidates that have been learned from.

    Args:
        aggregator: what scored them.
        rewards: ``[N, G]`` of the verifiers that guide.
        scores: ``[N]``.
        state: the aggregator's, afterwards.

    Returns:
        The scores, -inf for failed candidates, and the index of the best, or -1.
    """
    failed = failed_candidates(rewards)
    scores = jnp.where(failed | jnp.isnan(scores), -jnp.inf, scores)
    ranking = preferences(aggregator, rewards, state, scores)
    return scores, best_index(jnp.where(scores > -jnp.inf, ranking, -jnp.inf))


def finish(
    problem: Problem,
    aggregator: Aggregator,
    populations: Sequence[Finished],
    scores: Scores,
    state: PyTree,
    cost: Cost,
) -> SearchOutput:
    """Choose the winner and put a search's output together.

    Args:
        problem: the search.
        aggregator: what scored them.
        populations: the output's candidates, N in all; with clips if these are wanted.
        scores: ``[N]``.
        state: the aggregator's state after the search.
        cost: what the search spent.

    Returns:
        The output.
    """
    together = _together(problem, populations)
    failed = failed_candidates(together.rewards)
    scores, index = winner(aggregator, together.rewards, scores, state)
    rewards = _in_order(problem, together)
    return SearchOutput(
        best=_clip(problem, populations, index),
        best_index=index,
        scores=scores,
        rewards=rewards,
        failed=failed,
        valid=jnp.ones_like(failed),
        outliers=count_outliers(rewards),
        aggregator_state=state,
        nfe=jnp.int32(cost.nfe),
        decodes=jnp.int32(cost.decodes),
        verifier_calls=jnp.int32(cost.verifier_calls),
        flops=None if cost.flops is None else jnp.float32(cost.flops),
        latents=together.candidates,
        media=together.media,
    )


def _together(problem: Problem, populations: Sequence[Finished]) -> Finished:
    """Return all populations as one, with what is to be handed out alone."""

    def wanted(each: Finished) -> Finished:
        return each._replace(
            candidates=each.candidates if problem.keep_latents else None,
            media=each.media if problem.keep_media else None,
        )

    return concatenate([wanted(each) for each in populations])


def _in_order(problem: Problem, judged: Finished) -> Rewards:
    """Return ``[N, V]``, the columns in the order of the verifiers."""
    if judged.watched is None:
        return judged.rewards
    guides, watchers = iter(judged.rewards.T), iter(judged.watched.T)
    columns = [next(guides if v.guides else watchers) for v in problem.verifiers]
    return jnp.stack(columns, axis=1)


def _clip(
    problem: Problem, populations: Sequence[Finished], index: Int[Array, ""]
) -> Media:
    """Return the clip of one candidate, decoded if need be; zeros for index -1."""
    if populations[0].media is not None:
        return pick_from([each.media for each in populations], index)
    winner = pick_from([each.candidates for each in populations], index)
    one = jax.tree.map(lambda leaf: leaf[None], winner)
    media = problem.generator.decode(problem.params.generator, one)
    # Zero latents decode to something: only a real winner may show.
    return jax.tree.map(
        lambda leaf: jnp.where(index >= 0, leaf[0], jnp.zeros_like(leaf[0])), media
    )

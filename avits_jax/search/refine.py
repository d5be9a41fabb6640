"""Two stages: search among small clips, make the best of them large."""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Int

from avits_jax.aggregation.checks import check_count
from avits_jax.aggregation.separable import preferences
from avits_jax.sampling.chunks import over_candidates
from avits_jax.sampling.denoise import denoise
from avits_jax.search.checks import check_batch
from avits_jax.search.contracts import checked_start
from avits_jax.search.cost import Cost, rollout_cost, scored_cost
from avits_jax.search.evaluate import Finished, Problem, finish, pose, seen
from avits_jax.search.keys import SearchKey, Stream, stream_key
from avits_jax.search.memory import Memory
from avits_jax.search.operators import elites
from avits_jax.search.picking import failed_candidates, take
from avits_jax.types import (
    Aggregator,
    Candidates,
    Cond,
    Keys,
    Params,
    RefineOutput,
    Refiner,
    Rewards,
    SearchOutput,
    Verifier,
)


def refine(
    params: Params | tuple[Any, Any],
    key: SearchKey,
    cond: Cond | tuple[Any, Any],
    output: SearchOutput,
    *,
    refiner: Refiner,
    verifiers: Sequence[Verifier],
    aggregator: Aggregator,
    num_kept: int = 1,
    candidate_batch: int | None = None,
    keep_media: bool = False,
    keep_latents: bool = False,
) -> RefineOutput:
    """Make the best K candidates of a search large, score and choose them again.

    Pure, as searches are: jit it, vmap it over prompts (over `key`, `cond` and
    `output`), or call it in the program of the search. Candidate ``n`` of the search is
    refined with keys of its own number: its clip depends on the search's key and on
    ``n``, not on how many are kept. All verifiers have judged the small clips; only
    those kept are judged at the larger size, by the aggregator as the search left it:
    nothing is learned from them, for K clips of another size say little of how far
    rewards spread. Copies of one candidate (elites that EvoSearch carries along) count
    as candidates of their own.

    Args:
        params: `Params` or a pair of the refiner's weights and one tree per verifier.
        key: typed key; that of the search may be given again.
        cond: `Cond` or a pair, one encoded prompt, as the refiner's generator takes it.
        output: of the search, with ``keep_latents=True``, by the same verifiers and the
            same aggregator.
        refiner: the second stage.
        verifiers: those of the search, made for the rates of its clips.
        aggregator: that of the search.
        num_kept: how many of the best are refined, in [1, N]; failed ones never are
            chosen.
        candidate_batch: most candidates refined at once; None for all of them.
        keep_media: return the refined clips; holds all of them.
        keep_latents: return their final latents.

    Returns:
        What became of the candidates kept, best first by the scores of the search.

    Raises:
        TypeError, ValueError: an argument is not as described here.

    Example:
        >>> output = best_of_n(params, key, cond, state, generator=small,
        ...     verifiers=verifiers, aggregator=arw, num_candidates=16,
        ...     keep_latents=True)
        >>> refined = refine(Params(refiner_params, params.verifiers), key, cond,
        ...     output, refiner=refiner, verifiers=verifiers, aggregator=arw,
        ...     num_kept=2)
    """
    check_batch(candidate_batch)
    _check(output, refiner, verifiers)
    memory = Memory(candidate_batch, keep_media, keep_latents)
    state = output.aggregator_state
    problem, state = pose(
        params, key, cond, state, refiner.generator, verifiers, aggregator, memory
    )
    cost = refine_cost(
        refiner,
        problem.num_guides,
        num_kept,
        candidate_batch=candidate_batch,
        keep_media=keep_media,
    )
    if num_kept > output.scores.shape[0]:
        raise ValueError(
            f"num_kept must be at most {output.scores.shape[0]}, the candidates of "
            f"output, got {num_kept}"
        )
    kept, usable = _kept(problem, aggregator, output, num_kept)
    finished = _refined(problem, refiner, key, kept, take(output.latents, kept))
    finished = _usable_alone(finished, usable)
    scores = aggregator.score(finished.rewards, state)
    found = finish(problem, aggregator, [finished], scores, state, cost)
    numbers = jnp.where(usable, kept, -1)
    before = take((output.rewards, output.scores), kept)
    return RefineOutput(
        best=found.best,
        best_index=jnp.where(found.best_index >= 0, numbers[found.best_index], -1),
        kept=numbers,
        rewards_before=jnp.where(usable[:, None], before[0], jnp.nan),
        rewards=found.rewards,
        scores_before=jnp.where(usable, before[1], -jnp.inf),
        scores=found.scores,
        failed=found.failed,
        nfe=found.nfe,
        decodes=found.decodes,
        verifier_calls=found.verifier_calls,
        flops=found.flops,
        latents=found.latents,
        media=found.media,
    )


def _check(
    output: SearchOutput, refiner: Refiner, verifiers: Sequence[Verifier]
) -> None:
    if not isinstance(refiner, Refiner):
        raise TypeError(f"refiner must be a Refiner, got {refiner!r}")
    if not isinstance(output, SearchOutput):
        raise TypeError(f"output must be that of a search, got {type(output)}")
    if output.latents is None:
        raise ValueError("output has no latents: search with keep_latents=True")
    if output.rewards.shape[1] != len(verifiers):
        raise ValueError(
            "verifiers must be those of the search: output has rewards of "
            f"{output.rewards.shape[1]}, got {len(verifiers)}"
        )


def _kept(
    problem: Problem, aggregator: Aggregator, output: SearchOutput, num_kept: int
) -> tuple[Int[Array, " K"], Bool[Array, " K"]]:
    """Return the best candidates, best first, and which of them did not fail."""
    guides = [i for i, verifier in enumerate(problem.verifiers) if verifier.guides]
    rewards = output.rewards[:, jnp.asarray(guides)]
    state, scores = output.aggregator_state, output.scores
    # The search chose by these, not by the scores: the first is its winner.
    ranking = preferences(aggregator, rewards, state, scores)
    usable = (scores > -jnp.inf) & ~failed_candidates(rewards)
    kept = elites(jnp.where(usable, ranking, -jnp.inf), num_kept)
    return kept, usable[kept]


def _refined(
    problem: Problem,
    refiner: Refiner,
    key: SearchKey,
    kept: Int[Array, " K"],
    candidates: Candidates,
) -> Finished:
    """Take candidates through the second stage, and have all verifiers look."""
    params, cond = problem.params.generator, problem.cond.generator
    generator, start = problem.generator, checked_start(refiner)
    own = stream_key(key, Stream.REFINEMENT)
    hold = problem.keep_media or not _chunked(len(kept), problem.candidate_batch)

    def one_chunk(chunk: tuple[Keys, Keys, Candidates]) -> Finished:
        start_keys, step_keys, small = chunk
        begun = start(params, start_keys, small, cond)
        done, _ = denoise(params, step_keys, begun, cond, generator=generator)
        looked = seen(problem, generator.decode(params, done), hold=hold)
        if hold and not problem.keep_latents:
            return looked
        return looked._replace(candidates=done)

    steps = stream_key(own, Stream.STEPS)
    keys = _keys_of(own, kept), _keys_of(steps, kept)
    return over_candidates(one_chunk, (*keys, candidates), problem.candidate_batch)


def _keys_of(key: SearchKey, numbers: Int[Array, " K"]) -> Keys:
    """Return ``fold_in(key, n)`` for these candidates."""
    return jax.vmap(jax.random.fold_in, (None, 0))(key, numbers.astype(jnp.uint32))


def _usable_alone(finished: Finished, usable: Bool[Array, " K"]) -> Finished:
    """Return what verifiers say, NaN for candidates that had failed before."""

    def cut(rewards: Rewards) -> Rewards:
        return jnp.where(usable[:, None], rewards, jnp.nan)

    watched = finished.watched
    return finished._replace(
        rewards=cut(finished.rewards), watched=None if watched is None else cut(watched)
    )


def _chunked(num_kept: int, candidate_batch: int | None) -> bool:
    return candidate_batch is not None and candidate_batch < num_kept


def refine_cost(
    refiner: Refiner,
    num_verifiers: int,
    num_kept: int,
    *,
    candidate_batch: int | None = None,
    keep_media: bool = False,
) -> Cost:
    """Return what `refine` spends with these arguments, beside the search.

    What `Refiner.start` does is not counted.

    Raises:
        TypeError, ValueError: an argument is out of range, see `refine`.
    """
    check_count("num_kept", num_kept)
    check_batch(candidate_batch)
    again = _chunked(num_kept, candidate_batch) and not keep_media
    rollouts = [rollout_cost(refiner.generator, num_kept)]
    return scored_cost(rollouts, num_verifiers, num_kept, winner_again=again)

"""Best of N: denoise N candidates, score them all, keep the best."""

from collections.abc import Sequence
from typing import Any

from avits_jax.aggregation.checks import check_count
from avits_jax.sampling.chunks import over_candidates
from avits_jax.search.checks import check_batch
from avits_jax.search.cost import (
    Cost,
    largest_within,
    rollout_cost,
    scored_cost,
)
from avits_jax.search.evaluate import Finished, finish, pose
from avits_jax.search.keys import SearchKey, Stream, candidate_keys, stream_key
from avits_jax.search.memory import Memory
from avits_jax.search.rollout import sampled
from avits_jax.types import (
    Aggregator,
    Cond,
    Generator,
    Keys,
    Params,
    PyTree,
    SearchOutput,
    Verifier,
)


def best_of_n(
    params: Params | tuple[Any, Any],
    key: SearchKey,
    cond: Cond | tuple[Any, Any],
    state: PyTree = None,
    *,
    generator: Generator,
    verifiers: Sequence[Verifier],
    aggregator: Aggregator,
    num_candidates: int,
    candidate_batch: int | None = None,
    keep_media: bool = False,
    keep_latents: bool = False,
) -> SearchOutput:
    """Generate N candidates for one prompt and choose the best by the aggregator.

    Pure: jit it (with the keyword arguments bound), vmap it over prompts (over `key`,
    `cond` and `state`), or call it inside a larger program. Candidate ``n`` starts from
    ``fold_in(key, n)`` and depends neither on N nor on its neighbours.

    Args:
        params: `Params` or a pair of the generator's weights and one tree per verifier.
        key: typed key.
        cond: `Cond` or a pair, one encoded prompt without candidate axis.
        state: the aggregator's state, or None for a fresh one.
        generator: the generator.
        verifiers: one that guides at least; the columns of `rewards` have their order.
        aggregator: turns rewards ``[N, V]`` into scores ``[N]``; learns once.
        num_candidates: candidates N that start from noise, candidate ``n`` from
            ``fold_in(key, n)``; at least 1.
        candidate_batch: most candidates denoised, decoded and scored at once. The clips
            of a chunk are then dropped, and the winner is decoded once more from its
            latents, unless `keep_media`. None works on all at once.
        keep_media: return the clips of the output's candidates; holds all of them.
        keep_latents: return their final latents.

    Returns:
        The search's output. Every array is finite or -inf apart from `rewards`, and
        `best` is zero with `best_index` -1 if every candidate failed.

    Raises:
        TypeError, ValueError: an argument is not as described here.

    Example:
        >>> search = jax.jit(functools.partial(
        ...     best_of_n, generator=generator, verifiers=verifiers,
        ...     aggregator=arw([0.5, 0.5]), num_candidates=16))
        >>> output = search(params, jax.random.key(0), cond, state)
    """
    check_batch(candidate_batch)
    memory = Memory(candidate_batch, keep_media, keep_latents)
    problem, state = pose(
        params, key, cond, state, generator, verifiers, aggregator, memory
    )
    cost = best_of_n_cost(
        generator,
        problem.num_guides,
        num_candidates,
        candidate_batch=candidate_batch,
        keep_media=keep_media,
    )
    hold_media = keep_media or not _chunked(num_candidates, candidate_batch)
    keys = (
        candidate_keys(key, num_candidates),
        candidate_keys(stream_key(key, Stream.STEPS), num_candidates),
    )

    def sample(chunk: tuple[Keys, Keys]) -> Finished:
        return sampled(problem, chunk, hold=hold_media)

    finished = over_candidates(sample, keys, candidate_batch)
    scores, state = aggregator.update(finished.rewards, state)
    return finish(problem, aggregator, [finished], scores, state, cost)


def _chunked(num_candidates: int, candidate_batch: int | None) -> bool:
    return candidate_batch is not None and candidate_batch < num_candidates


def best_of_n_cost(
    generator: Generator,
    num_verifiers: int,
    num_candidates: int,
    *,
    candidate_batch: int | None = None,
    keep_media: bool = False,
) -> Cost:
    """Return what `best_of_n` spends with these arguments.

    Raises:
        ValueError: a count is below 1.
    """
    check_count("num_candidates", num_candidates)
    check_batch(candidate_batch)
    again = _chunked(num_candidates, candidate_batch) and not keep_media
    rollouts = [rollout_cost(generator, num_candidates)]
    return scored_cost(rollouts, num_verifiers, num_candidates, winner_again=again)


def best_of_n_candidates(max_nfe: int, generator: Generator) -> int:
    """Return the most candidates that `best_of_n` can denoise within a budget.

    Args:
        max_nfe: budget of network evaluations.
        generator: the generator.

    Returns:
        N, at least 1.

    Raises:
        ValueError: the budget does not pay for one candidate.
    """
    return largest_within(max_nfe, lambda n: best_of_n_cost(generator, 1, n))

"""Adaptive best of N: draw candidates until another chunk is not worth its cost."""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from avits_jax.aggregation.checks import check_count
from avits_jax.sampling.chunks import over_candidates
from avits_jax.sampling.mapped import vary_alike
from avits_jax.search.checks import check_batch
from avits_jax.search.cost import Cost, rollout_cost, scored_cost
from avits_jax.search.evaluate import Finished, Problem, finish, learned, pose
from avits_jax.search.keys import SearchKey, Stream, candidate_keys, stream_key
from avits_jax.search.memory import Memory
from avits_jax.search.rollout import sampled
from avits_jax.search.stopping import expected_gain
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


class Progress(NamedTuple):
    """What the loop knows after some chunks.

    Attributes:
        num_drawn: candidates drawn.
        finished: all of them, in arrays for the most there may be.
        gain: what another chunk is expected to gain, see `expected_gain`.
    """

    num_drawn: Int[Array, ""]
    finished: Finished
    gain: Float[Array, ""]


def adaptive_best_of_n(
    params: Params | tuple[Any, Any],
    key: SearchKey,
    cond: Cond | tuple[Any, Any],
    state: PyTree = None,
    *,
    generator: Generator,
    verifiers: Sequence[Verifier],
    aggregator: Aggregator,
    num_candidates: int,
    chunk: int = 4,
    tolerance: float = 0.2,
    candidate_batch: int | None = None,
    keep_media: bool = False,
    keep_latents: bool = False,
) -> SearchOutput:
    """Draw candidates chunk by chunk until the best is good enough; return it.

    After every chunk the scores so far say how far another one is expected to raise the
    best of them, in units of their standard deviation (`expected_gain`). Below
    `tolerance` the search stops: easy prompts, and those that were lucky early, take
    few candidates. The result is that of `best_of_n` with as many candidates as were
    drawn: the same clips, scores and winner.

    Arrays of the output have room for all `num_candidates`; rows that were never drawn
    are not `valid`, their rewards NaN, their scores -inf. Counts of work are of what
    was done. Under `jax.vmap` the prompts of a batch go on until the last one stops,
    each with its own result and counts. Derivatives in reverse mode do not pass the
    loop. Between chunks only rewards and latents are held; the clips of a chunk are
    dropped, and the winner is decoded once more, unless `keep_media`.

    Args:
        params: `Params` or a pair of the generator's weights and one tree per verifier.
        key: typed key.
        cond: `Cond` or a pair, one encoded prompt without candidate axis.
        state: the aggregator's state, or None for a fresh one. Every decision learns
            from all rewards so far in a copy that is dropped; the state returned has
            learned from them once.
        generator: the generator.
        verifiers: one that guides at least.
        aggregator: turns rewards into scores; leaves rows of NaN out, as all do.
        num_candidates: the most candidates N, candidate ``n`` from ``fold_in(key, n)``;
            a multiple of `chunk`.
        chunk: candidates that are drawn between two decisions, at least 1.
        tolerance: least gain, in deviations of the scores, that is worth a chunk; at
            least 0, which draws all. In chunks of 4, scores of a normal distribution
            take 13 candidates on average with 0.2, and 21 with 0.1.
        candidate_batch: most candidates worked on at once; None for a whole chunk.
        keep_media: return the clips of the output's candidates; holds all of them.
        keep_latents: return their final latents.

    Returns:
        The search's output.

    Raises:
        TypeError, ValueError: an argument is not as described here.

    Example:
        >>> search = jax.jit(functools.partial(
        ...     adaptive_best_of_n, generator=generator, verifiers=verifiers,
        ...     aggregator=arw([0.5, 0.5]), num_candidates=32))
        >>> output = search(params, jax.random.key(0), cond, state)
        >>> output.valid.sum(), output.nfe
    """
    check_batch(candidate_batch)
    memory = Memory(candidate_batch, keep_media, keep_latents)
    problem, state = pose(
        params, key, cond, state, generator, verifiers, aggregator, memory
    )
    most = adaptive_best_of_n_cost(
        generator,
        problem.num_guides,
        num_candidates,
        chunk,
        tolerance,
        keep_media=keep_media,
    )

    def worthwhile(progress: Progress) -> Any:
        room = progress.num_drawn < num_candidates
        return room & (progress.gain >= tolerance)

    def draw(progress: Progress) -> Progress:
        found = _drawn(problem, key, progress.num_drawn, chunk)
        finished = jax.tree.map(
            lambda all_of_them, new: jax.lax.dynamic_update_slice_in_dim(
                all_of_them, new, progress.num_drawn, axis=0
            ),
            progress.finished,
            found,
        )
        num_drawn = progress.num_drawn + chunk
        scores, _ = learned(aggregator, finished.rewards, state)
        return Progress(num_drawn, finished, expected_gain(scores, num_drawn, chunk))

    # Numbers out of arrays: a constant has no mesh, which `vmap` of a loop looks for.
    start = Progress(
        jnp.zeros(1, jnp.int32)[0],
        _room(problem, key, num_candidates, chunk),
        jnp.full(1, jnp.inf, jnp.float32)[0],
    )
    read = problem.params, problem.cond, key, state
    num_drawn, finished, _ = jax.lax.while_loop(
        worthwhile, draw, vary_alike(start, read)
    )
    scores, state = aggregator.update(finished.rewards, state)
    output = finish(problem, aggregator, [finished], scores, state, most)
    return _counted(output, problem, num_drawn)


def _drawn(
    problem: Problem, key: SearchKey, first: Int[Array, ""], chunk: int
) -> Finished:
    """Return candidates ``first .. first + chunk - 1``, finished and judged."""
    steps = stream_key(key, Stream.STEPS)
    keys = candidate_keys(key, chunk, first), candidate_keys(steps, chunk, first)

    def sample(some: tuple[Keys, Keys]) -> Finished:
        return sampled(problem, some, hold=problem.keep_media)

    return over_candidates(sample, keys, problem.candidate_batch)


def _room(
    problem: Problem, key: SearchKey, num_candidates: int, chunk: int
) -> Finished:
    """Return arrays for candidates to come: rewards are NaN, the rest zeros."""
    each = jax.eval_shape(lambda: _drawn(problem, key, jnp.int32(0), chunk))
    room = jax.tree.map(
        lambda leaf: jnp.zeros((num_candidates, *leaf.shape[1:]), leaf.dtype), each
    )
    unknown = jax.tree.map(
        lambda rewards: jnp.full_like(rewards, jnp.nan), (room.rewards, room.watched)
    )
    return room._replace(rewards=unknown[0], watched=unknown[1])


def _counted(
    output: SearchOutput, problem: Problem, num_drawn: Int[Array, ""]
) -> SearchOutput:
    """Return an output that tells rows never drawn, and counts no work on them."""
    each = rollout_cost(problem.generator, 1)
    valid = jnp.arange(output.valid.shape[0], dtype=jnp.int32) < num_drawn
    flops = None if each.flops is None else num_drawn.astype(jnp.float32) * each.flops
    return output._replace(
        failed=output.failed & valid,
        valid=valid,
        nfe=num_drawn * each.nfe,
        decodes=num_drawn * (each.decodes + 1) + int(not problem.keep_media),
        verifier_calls=num_drawn * (each.verifier_calls + problem.num_guides),
        flops=flops,
    )


def adaptive_best_of_n_cost(
    generator: Generator,
    num_verifiers: int,
    num_candidates: int,
    chunk: int = 4,
    tolerance: float = 0.2,
    *,
    candidate_batch: int | None = None,
    keep_media: bool = False,
) -> Cost:
    """Return the most that `adaptive_best_of_n` spends: that of drawing all.

    Raises:
        TypeError, ValueError: an argument is out of range, see `adaptive_best_of_n`.
    """
    check_batch(candidate_batch)
    check_count("num_candidates", num_candidates)
    if num_candidates % check_count("chunk", chunk):
        raise ValueError(
            f"num_candidates must be a multiple of chunk = {chunk}, "
            f"got {num_candidates}"
        )
    if not (math.isfinite(tolerance) and tolerance >= 0):
        raise ValueError(f"tolerance must be at least 0 and finite, got {tolerance}")
    rollouts = [rollout_cost(generator, num_candidates)]
    return scored_cost(
        rollouts, num_verifiers, num_candidates, winner_again=not keep_media
    )

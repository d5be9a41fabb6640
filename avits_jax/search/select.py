"""Choose among clips that exist, whatever made them."""

from collections.abc import Sequence
from typing import Any, cast

import jax.numpy as jnp

from avits_jax.sampling.chunks import over_candidates
from avits_jax.search.checks import check_batch, check_jury, check_state
from avits_jax.search.cost import Cost
from avits_jax.search.evaluate import Finished, Problem, finish, seen
from avits_jax.types import (
    Aggregator,
    Cond,
    Generator,
    Media,
    Params,
    PyTree,
    SearchOutput,
    Verifier,
)


def select(
    params: Params | tuple[Any, Any],
    media: Media | tuple[Any, Any],
    cond: Cond | tuple[Any, Any],
    state: PyTree = None,
    *,
    verifiers: Sequence[Verifier],
    aggregator: Aggregator,
    candidate_batch: int | None = None,
) -> SearchOutput:
    """Choose among a prompt's clips as `best_of_n` does among those that it makes.

    Pure: jit it (with the keyword arguments bound), vmap it over prompts (over `media`,
    `cond` and `state`), or call it behind a generator of any kind. For clips in files
    there is ``avits select``; for rewards that are known, `avits_jax.study.choose`.

    Args:
        params: `Params` or a pair of anything (unused) and one tree per verifier.
        media: `Media` or a pair, N clips: video ``[N, F, H, W, 3]`` in [0, 1], audio
            ``[N, S]`` or ``[N, C, S]`` in [-1, 1], of the rates, sizes and channels
            that the verifiers were made for.
        cond: `Cond` or a pair, one encoded prompt without candidate axis:
            ``encode_prompt(prompt, None, verifiers)``.
        state: the aggregator's state, or None for a fresh one; carry it from prompt to
            prompt.
        verifiers: one that guides at least; the columns of `rewards` have their order.
        aggregator: turns rewards ``[N, V]`` into scores ``[N]``; learns once.
        candidate_batch: most clips scored at once; None scores all.

    Returns:
        The same as a search: nothing was denoised (`nfe` 0) or decoded; `best` is zero
        with `best_index` -1 if every clip failed.

    Raises:
        TypeError, ValueError: an argument is not as described here.

    Example:
        >>> verifiers, vparams = avits.verifiers.load(["mini_tv", "mini_ta"])
        >>> cond = avits.encode_prompt("a blue box falls once", None, verifiers)
        >>> chosen = jax.jit(functools.partial(avits.select, verifiers=verifiers,
        ...     aggregator=avits.arw([1.0, 1.0])))
        >>> output = chosen(avits.Params((), vparams), media, cond, state)
    """
    check_batch(candidate_batch)
    params, cond = check_jury(params, cond, verifiers)
    media = _clips(media)
    nothing = cast(Generator, None)  # clips are there: nobody asks it for anything
    problem = Problem(params, cond, nothing, tuple(verifiers), candidate_batch)
    state = check_state(aggregator, problem.num_guides, state)

    def look(chunk: Media) -> Finished:
        return seen(problem, chunk, hold=False)

    finished = over_candidates(look, media, candidate_batch)._replace(media=media)
    scores, state = aggregator.update(finished.rewards, state)
    calls = len(media.video) * problem.num_guides
    cost = Cost(nfe=0, decodes=0, verifier_calls=calls)
    return finish(problem, aggregator, [finished], scores, state, cost)


def _clips(media: Media | tuple[Any, Any]) -> Media:
    """Return clips as `Media`; raise for what is no population of clips."""
    if not isinstance(media, tuple) or len(media) != 2:
        raise TypeError(f"media must be a pair (video, audio), got {type(media)}")
    shapes = [jnp.shape(part) for part in media]
    if len(shapes[0]) != 5 or len(shapes[1]) not in (2, 3) or not shapes[0][0]:
        raise ValueError(
            "media must hold video [N, F, H, W, 3] and audio [N, S] or [N, C, S], one "
            f"clip at least, got shapes {shapes[0]} and {shapes[1]}"
        )
    if shapes[0][0] != shapes[1][0]:
        raise ValueError(
            f"media must hold as many sounds as videos, got {shapes[0][0]} videos and "
            f"{shapes[1][0]} sounds"
        )
    if not jnp.issubdtype(jnp.result_type(media[0]), jnp.floating):
        raise ValueError(
            f"media must hold video of floats in [0, 1], got {media[0].dtype}; divide "
            "grey levels by 255"
        )
    return Media(*media)

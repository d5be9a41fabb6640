"""Rewards of verifiers that watch a search but do not guide it."""

from typing import cast

from avits_jax.sampling.chunks import over_candidates
from avits_jax.search.evaluate import Problem, evaluate, verify
from avits_jax.types import (
    Candidates,
    Cond,
    Generator,
    Media,
    Params,
    Rewards,
    SearchOutput,
    Verifier,
)


def split(params: Params, cond: Cond, count: int) -> tuple[Params, Cond]:
    """Return what a search gets of weights and prompts: the first `count` verifiers."""
    return (
        params._replace(verifiers=params.verifiers[:count]),
        cond._replace(verifiers=cond.verifiers[:count]),
    )


def judge(
    params: Params,
    cond: Cond,
    output: SearchOutput,
    generator: Generator,
    judges: tuple[Verifier, ...],
    candidate_batch: int | None,
) -> Rewards:
    """Return ``[N, J]`` rewards of a search's final population.

    Its clips are scored where `output` has them; else its latents are decoded, chunk by
    chunk. Nothing of it counts as the search's cost.

    Args:
        params: weights; the judges' are the last.
        cond: the encoded prompt, likewise.
        output: with media or latents.
        generator: decodes the latents.
        judges: verifiers that only watch, one or more.
        candidate_batch: most candidates worked on at once.
    """
    first = len(params.verifiers) - len(judges)
    problem = Problem(
        params._replace(verifiers=params.verifiers[first:]),
        cond._replace(verifiers=cond.verifiers[first:]),
        generator,
        judges,
        candidate_batch,
    )
    if output.media is None:
        return evaluate(problem, cast(Candidates, output.latents))

    def score(media: Media) -> Rewards:
        return verify(problem, media)

    return over_candidates(score, output.media, candidate_batch)

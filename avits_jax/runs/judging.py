"""Verifiers that watch a search but do not guide it, and whether clips are whole.

A judge that shares a pass of its network with a guide sits inside the search, since its
reward costs nothing there. The others are asked about the final population alone: what
a search evaluates on its way is none of their business, and would only cost time.
"""

from collections.abc import Sequence
from typing import NamedTuple, cast

import jax.numpy as jnp
from jaxtyping import Array, Float

from avits_jax.sampling.chunks import over_candidates
from avits_jax.search.evaluate import Problem, evaluate, verify
from avits_jax.types import (
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


def _is_finite(params: PyTree, media: Media, cond: PyTree) -> Scores:
    parts = [jnp.isfinite(x).reshape(len(x), -1).all(axis=1) for x in media]
    return jnp.stack(parts).all(axis=0).astype(jnp.float32)


FINITE = Verifier("finite", _is_finite, range=(0.0, 1.0), guides=False)
"""Watches whether decoded clips are whole: 0 for one that holds NaN or infinity."""


class Seats(NamedTuple):
    """Where each verifier sits: positions among the guides and, after them, judges.

    Attributes:
        num_guides: the first ones guide.
        inside: the guides, and the judges that share a pass with one of them.
        apart: the judges that look at the final population alone.
    """

    num_guides: int
    inside: tuple[int, ...]
    apart: tuple[int, ...]


def seat(verifiers: Sequence[Verifier], num_guides: int) -> Seats:
    """Return where each of the verifiers sits; the first `num_guides` guide."""
    passes = {each.shared_pass for each in verifiers[:num_guides]} - {None}
    rides = [i < num_guides or v.shared_pass in passes for i, v in enumerate(verifiers)]
    return Seats(
        num_guides,
        tuple(i for i, inside in enumerate(rides) if inside),
        tuple(i for i, inside in enumerate(rides) if not inside),
    )


def watchers(verifiers: Sequence[Verifier], seats: Seats) -> tuple[Verifier, ...]:
    """Return what a search gets: those inside, the judges without a vote; `FINITE`."""
    seated = (verifiers[i]._replace(guides=i < seats.num_guides) for i in seats.inside)
    return (*seated, FINITE)


def chosen(
    params: Params, cond: Cond, positions: Sequence[int], *, finite: bool
) -> tuple[Params, Cond]:
    """Return weights and prompts of these verifiers, and nothing for `FINITE`."""
    last = ((),) if finite else ()
    return (
        params._replace(verifiers=(*(params.verifiers[i] for i in positions), *last)),
        cond._replace(verifiers=(*(cond.verifiers[i] for i in positions), *last)),
    )


def judge_population(
    params: Params,
    cond: Cond,
    output: SearchOutput,
    generator: Generator,
    judges: Sequence[Verifier],
    candidate_batch: int | None,
) -> Rewards:
    """Return ``[N, J]`` rewards of a search's final population.

    Its clips are scored where `output` has them; else its latents are decoded, chunk by
    chunk. Nothing of it counts as the search's cost.

    Args:
        params: weights of the generator and of the judges.
        cond: the encoded prompt, likewise.
        output: with media or latents.
        generator: decodes the latents.
        judges: one or more.
        candidate_batch: most candidates worked on at once.
    """
    problem = Problem(params, cond, generator, tuple(judges), candidate_batch)
    if output.media is None:
        return evaluate(problem, cast(Candidates, output.latents))

    def score(media: Media) -> Rewards:
        return verify(problem, media)

    return over_candidates(score, output.media, candidate_batch)


def side_by_side(
    inside: Float[Array, "N S"], apart: Float[Array, "N A"], seats: Seats
) -> Rewards:
    """Return the judges' rewards ``[N, J]`` in their order.

    Args:
        inside: columns of those inside the search.
        apart: columns of those that looked at the final population.
        seats: who sits where.
    """
    columns = dict(zip(seats.inside, inside.T, strict=True))
    columns |= dict(zip(seats.apart, apart.T, strict=True))
    judges = [columns[i] for i in sorted(columns) if i >= seats.num_guides]
    return jnp.stack(judges, axis=1) if judges else jnp.zeros((len(inside), 0))

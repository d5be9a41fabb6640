"""Evolution: elites, tournaments and mutations of latents on the noise path."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Int, Key

from avits_jax.sampling.steps import linear_combination, noise_like
from avits_jax.search.checks import check_fraction
from avits_jax.search.keys import SearchKey
from avits_jax.search.picking import rankable
from avits_jax.types import Keys, PyTree, Scores


class Parents(NamedTuple):
    """Latents about to be mutated, and where they stand.

    Attributes:
        latents: tree of ``[C, ...]`` arrays at `sigma`.
        next_latents: the same trajectories one step later, at `next_sigma`.
        step: the step at which evolution takes place.
        sigma: noise level of `step`, a float or a prefix tree of them.
        next_sigma: noise level one step later, likewise.
    """

    latents: PyTree
    next_latents: PyTree
    step: int
    sigma: PyTree
    next_sigma: PyTree


Mutation = Callable[[Parents, PyTree], PyTree]


def elites(scores: Scores, num_elites: int) -> Int[Array, " E"]:
    """Return the indices of the highest scores, best first; of equal ones the first."""
    return jax.lax.top_k(rankable(scores), num_elites)[1]


def tournament_size(ratio: float, num_candidates: int) -> int:
    """Return how many candidates meet in a tournament: ``ratio N`` rounded down, or 1.

    Raises:
        ValueError: `ratio` lies outside (0, 1].
    """
    check_fraction("tournament_ratio", ratio)
    return max(1, int(ratio * num_candidates))


def draw_tournaments(
    key: SearchKey, generation: int, num_children: int, num_candidates: int, size: int
) -> Int[Array, "C T"]:
    """Draw the candidates of each child's tournament, none of them twice.

    Args:
        key: typed key of this generation.
        generation: for replacements that replay given draws; not used here.
        num_children: number of tournaments C.
        num_candidates: number of candidates to draw from.
        size: candidates in a tournament T.

    Returns:
        ``[C, T]`` candidate indices; child ``c`` draws from ``fold_in(key, c)``.
    """
    del generation

    def one(child: Array) -> Array:
        child_key = jax.random.fold_in(key, child)
        return jax.random.permutation(child_key, num_candidates)[:size]

    return jax.vmap(one)(jnp.arange(num_children, dtype=jnp.uint32))


def tournament(scores: Scores, draws: Int[Array, "C T"]) -> Int[Array, " C"]:
    """Return each tournament's winner: the drawn candidate with the highest score."""
    best = jnp.argmax(rankable(scores)[draws], axis=1)
    return jnp.take_along_axis(draws, best[:, None], axis=1)[:, 0]


def draw_noise(keys: Keys, generation: int, latents: PyTree) -> PyTree:
    """Draw each child's mutation noise from its own key, see `noise_like`."""
    del generation
    return noise_like(keys, latents)


def level_mutation(rate: float = 0.8) -> Mutation:
    """Return a mutation that keeps the noise level: back along the flow, then renoise.

    The parent moves along its own trajectory to the lower level
    ``s_l = q s / a``, ``q = sqrt(1 - rate^2)``, ``a = (1 - s) + q s``, and the forward
    process brings it up to ``s`` again: ``a z_l + rate s noise``. The marginal at ``s``
    is kept (up to the straight line between two steps), at no network evaluation. At
    ``s = 1`` this is ``q z + rate noise``.

    Args:
        rate: share of the noise that is replaced, in (0, 1]. The original's 0.2 makes
            children so like their parents that a generation of them finds little: on
            mini EvoSearch then falls behind best-of-N of the same cost, and with 0.8 it
            does not (tools/RESULTS.md).

    Raises:
        ValueError: `rate` is out of range.
    """
    check_fraction("rate", rate)

    def move(sigma: float, next_sigma: float, *trees: PyTree) -> PyTree:
        kept = (1 - rate**2) ** 0.5
        scale = (1 - sigma) + kept * sigma
        lower = kept * sigma / scale if scale else 0.0
        forward = (sigma - lower) / (sigma - next_sigma)
        factors = scale * (1 - forward), scale * forward, rate * sigma
        return linear_combination(factors, *trees)

    def mutate(parents: Parents, noise: PyTree) -> PyTree:
        levels = parents.sigma, parents.next_sigma
        trees = parents.latents, parents.next_latents, noise
        return jax.tree.map(move, *levels, *trees)

    return mutate


def reference_mutation(
    rate: float = 0.2, timesteps: tuple[PyTree, ...] | None = None
) -> Mutation:
    """Return the mutation of the original EvoSearch.

    ``sqrt(1 - rate^2) z + rate noise`` at step 0; later ``z + t noise``, which raises
    the noise above the level that the sampler expects.

    Args:
        rate: share of noise at step 0, in (0, 1].
        timesteps: ``t`` of every step (numbers, or prefix trees of them), or None for
            the generator's noise levels (the original takes timesteps before they are
            shifted).

    Raises:
        ValueError: `rate` is out of range.
    """
    check_fraction("rate", rate)

    def mutate(parents: Parents, noise: PyTree) -> PyTree:
        if parents.step == 0:
            coefficients = (1 - rate**2) ** 0.5, rate
            return linear_combination(coefficients, parents.latents, noise)
        levels = parents.sigma if timesteps is None else timesteps[parents.step]
        return jax.tree.map(
            lambda level, *trees: linear_combination((1.0, level), *trees),
            levels,
            parents.latents,
            noise,
        )

    return mutate


TournamentDraw = Callable[[Key[Array, ""], int, int, int, int], Int[Array, "C T"]]
NoiseDraw = Callable[[Keys, int, PyTree], PyTree]

"""Reward-gradient guidance: a generator that climbs what verifiers say, step by step.

Searches choose among clips, guidance moves each of them. A guided generator is one as
any other, so that every search takes it.
"""

import math
from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from avits_jax.sampling.denoise import euler
from avits_jax.sampling.reuse import Reused
from avits_jax.sampling.schedules import levels_at
from avits_jax.sampling.steps import at_least_float32, combined
from avits_jax.search.checks import check_generator, check_schedule
from avits_jax.search.guided_parts import lifted_generator
from avits_jax.search.rewards import stacked_rewards
from avits_jax.types import (
    Candidates,
    Cond,
    Generator,
    Keys,
    Params,
    PyTree,
    Verifier,
)


def guide_by_gradient(
    generator: Generator,
    verifiers: Sequence[Verifier],
    scale: float,
    *,
    weights: Sequence[float] | None = None,
    steps: Sequence[int] | None = None,
) -> Generator:
    """Make a generator whose predictions climb the gradient of verifiers' rewards.

    At a guided step the clean sample ``x(z)`` that is expected of latents ``z`` is
    decoded and scored, ``R = sum_v weights[v] r_v``, and moved along the gradient with
    respect to the latents, back through verifiers, decoder and network::

        x' = x + scale sigma sqrt(D) g / |g|,    g = dR(x(z)) / dz

    with ``sigma`` the noise level and ``D`` the size of a candidate's latents, all
    parts together. For the predicted noise that is ``eps' = eps - s (1 - sigma) g``
    with ``s = scale sqrt(D) / |g|``: forward guidance of Bansal et al. 2023, "Universal
    Guidance for Diffusion Models", arXiv 2302.07121 (``eps' = eps + s(t) grad_z
    loss(x(z))``; the gradient through the network as in Chung et al. 2023, "Diffusion
    Posterior Sampling", arXiv 2209.14687), with the length of a step fixed as Yang et
    al. 2024, "Guidance with Spherical Gaussian Constraint", arXiv 2402.03201, have it.
    An Euler step adds ``scale (sigma - sigma') sqrt(D) g / |g|`` to the latents:
    whatever the number of steps, what a whole run adds has a root mean square of at
    most `scale`.

    A candidate's gradient is its own, whoever is beside it. Where it is not finite in
    any part, or zero throughout, the candidate takes that step as if unguided; a clip
    that a verifier cannot score still has no reward where the search asks for it.

    The guided generator has the contract of any, with these differences:

    - Its params are ``Params(generator, verifiers)``, the weights of the generator and
      of the guides; its cond is ``Cond(generator, verifiers)`` likewise, as its
      `encode` gives it. In a search its scorers' weights come beside these: see
      `share_with_guides` for how the same ones are passed once.
    - Guided steps are Euler steps of the guided prediction, as those of drafts are,
      without the generator's own noise; the others are the generator's own.
    - A pass backwards counts as another pass, of the network in ``nfe_per_step``, of
      the decoder in ``decodes_per_step``, of verifiers in ``verifier_calls_per_step``:
      towards its input alone it takes about as many products. A guided step thus
      costs twice the evaluations, 2 decodes and 2 calls of each guide.
    - What it climbs is the reward of the clip as `decode` gives it; `preview` shows
      clips on the way to searches alone.
    - Its drafts are the generator's, unguided. `sampling.fewer_steps` makes a guided
      one of it.
    - It has no `text`: run the generator's own first (`text.prompt.precompute_text`).

    Args:
        generator: the generator; what it predicts and decodes must be differentiable.
        verifiers: the guides, one at least, differentiable in the clips.
        scale: root mean square of all that a run adds to the latents if every step
            adds the same way, in units of the noise's deviation, at least 0; 0 guides
            nothing, at no cost.
        weights: one finite number per verifier; None for 1 each. Rewards on different
            scales want ``1 / std`` of each, of `Verifier.prior` say.
        steps: increasing numbers of the guided steps; None for all.

    Raises:
        TypeError: `generator` or a verifier is not what it should be.
        ValueError: a number is out of range, a verifier only watches, or what the
            generator carries from step to step cannot be guided (when it is traced).

    Example:
        >>> guided = guide_by_gradient(generator, verifiers[:1], 0.1)
        >>> cond = encode_prompt(prompt, guided, verifiers)
        >>> search = partial(best_of_n, generator=guided, verifiers=verifiers,
        ...                  aggregator=aggregator, num_candidates=4)
        >>> run = jax.jit(lambda weights, key, cond: search(
        ...     share_with_guides(weights, [0]), key, cond))
        >>> output = run(Params(params, vparams), jax.random.key(0), cond)
    """
    check_generator("generator", generator)
    guides = _checked(verifiers)
    here = _guided_steps(generator, scale, steps)
    factors = _checked_weights(weights, len(guides))
    own = lifted_generator(generator, guides)
    if not here.any():
        return own
    climb = _climb(generator, guides, factors, scale)
    return _climbing(own, climb, here)._replace(
        nfe_per_step=tuple(
            generator.evaluations(i, i + 1) * (2 if now else 1)
            for i, now in enumerate(here)
        ),
        decodes_per_step=tuple(2 * int(now) for now in here),
        verifier_calls_per_step=tuple(2 * len(guides) * int(now) for now in here),
    )


def _guided_steps(
    generator: Generator, scale: float, steps: Sequence[int] | None
) -> np.ndarray:
    """Return ``[num_steps]`` True where guided; scale and steps are checked."""
    if not (math.isfinite(scale) and scale >= 0):
        raise ValueError(f"scale must be at least 0 and finite, got {scale}")
    last = generator.num_steps - 1
    chosen = range(last + 1) if steps is None else check_schedule("steps", steps, last)
    return np.isin(np.arange(last + 1), np.asarray(chosen, int)) & (scale > 0)


def _checked(verifiers: Sequence[Verifier]) -> tuple[Verifier, ...]:
    if not verifiers:
        raise ValueError("verifiers must name at least one verifier, got none")
    for verifier in verifiers:
        if not isinstance(verifier, Verifier):
            raise TypeError(f"verifiers must hold Verifier tuples, got {verifier!r}")
        if not verifier.guides:
            raise ValueError(
                f"verifiers must guide, but {verifier.name!r} only watches"
            )
    return tuple(verifiers)


def _checked_weights(weights: Sequence[float] | None, count: int) -> np.ndarray:
    given = (1.0,) * count if weights is None else tuple(map(float, weights))
    if len(given) != count or not all(map(math.isfinite, given)):
        raise ValueError(
            f"weights must hold one finite number per verifier ({count}), got {given}"
        )
    return np.asarray(given)


def _climb(
    generator: Generator,
    guides: Sequence[Verifier],
    weights: np.ndarray,
    scale: float,
) -> Callable[..., PyTree]:
    """Return the guided ``(params, candidates, i, cond) -> clean latents``."""

    def climb(
        params: Params, candidates: Candidates, i: int | Int[Array, ""], cond: Cond
    ) -> PyTree:
        if isinstance(candidates.extra, Reused):
            raise ValueError(
                "generator must not be a draft that uses again what its own steps "
                "renew: guide the generator, or another of its drafts"
            )

        def total(latents: PyTree) -> tuple[Float[Array, ""], PyTree]:
            here = candidates._replace(latents=latents)
            clean = generator.predict(params.generator, here, i, cond.generator)
            expected = candidates._replace(latents=clean)
            media = generator.decode(params.generator, expected)
            rewards = stacked_rewards(guides, params.verifiers, media, cond.verifiers)
            factors = jnp.asarray(weights, rewards.dtype)[None]
            # Each candidate's gradient is that of its own reward in the sum.
            return (factors * rewards).sum(), clean

        gradient, clean = jax.grad(total, has_aux=True)(candidates.latents)
        level = levels_at(generator.sigmas, i)
        return combined(lambda s: (1, scale * s), level, clean, _directions(gradient))

    return climb


def _climbing(
    own: Generator, climb: Callable[..., PyTree], here: np.ndarray
) -> Generator:
    """Return a generator that climbs at some steps, and is `own` at the others."""
    climb_step = euler(climb, own.sigmas)

    def choose(
        i: int | Int[Array, ""],
        guided: Callable[[], PyTree],
        plain: Callable[[], PyTree],
    ) -> PyTree:
        if here.all():
            return guided()
        return jax.lax.cond(jnp.asarray(here)[i], guided, plain)

    def predict(
        params: Params, candidates: Candidates, i: int | Int[Array, ""], cond: Cond
    ) -> PyTree:
        given = params, candidates, i, cond
        return choose(i, lambda: climb(*given), lambda: own.predict(*given))

    def step(
        params: Params,
        keys: Keys,
        candidates: Candidates,
        i: int | Int[Array, ""],
        cond: Cond,
    ) -> Candidates:
        given = params, keys, candidates, i, cond
        return choose(i, lambda: climb_step(*given), lambda: own.step(*given))

    return own._replace(step=step, predict=predict)


def _directions(gradient: PyTree) -> PyTree:
    """Return gradients at a root mean square of 1 per candidate; 0 where unusable."""
    wide = jax.tree.map(lambda g: g.astype(at_least_float32(g.dtype)), gradient)
    leaves = jax.tree.leaves(wide)
    highest = jnp.stack([_over_rows(jnp.max, jnp.abs(g)) for g in leaves]).max(axis=0)
    usable = jnp.isfinite(highest) & (highest > 0)  # NaN is the largest of all

    def rescaled(g: Array, each: Array) -> Array:
        shape = (-1,) + (1,) * (g.ndim - 1)
        return jnp.where(usable.reshape(shape), g * each.reshape(shape), 0)

    # Through the largest number first, whose square might overflow or vanish.
    unit = jax.tree.map(lambda g: rescaled(g, 1 / jnp.where(usable, highest, 1)), wide)
    leaves = jax.tree.leaves(unit)
    power = jnp.stack([_over_rows(jnp.sum, jnp.square(g)) for g in leaves]).sum(axis=0)
    size = sum(math.prod(g.shape[1:]) for g in leaves)
    length = jnp.sqrt(size / jnp.where(usable, power, 1))
    return jax.tree.map(lambda g: rescaled(g, length), unit)


def _over_rows(reduce: Callable[..., Array], x: Float[Array, "N ..."]) -> Array:
    return reduce(x, axis=tuple(range(1, x.ndim)))

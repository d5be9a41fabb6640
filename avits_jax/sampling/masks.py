"""Clips of which some frames, or some of the sound, are given.

A mask says for every latent frame, and for every latent time step of the sound, what is
done with it: 0 keeps it as given, 1 makes it from noise, and values between make it
anew from that noise level on. Extension of a clip, a first frame that is given, sound
for a given video: all of them are masks. A frame takes part in the steps whose level
its mask reaches. (A mask of levels as Open-Sora has it, Zheng et al. 2024, arXiv
2412.20404.)

A generator calls `start_from` in ``init``, and in ``step`` and ``predict``
`settle` (what the network is to see) before the network and `masked_update` after it.
Levels may be given per part of the latents, see `sampling.steps`.
"""

from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Int

from avits_jax.sampling.schedules import levels_at
from avits_jax.sampling.steps import Level, Levels
from avits_jax.types import PyTree


class Given(NamedTuple):
    """What is given of a clip, the same for all candidates.

    Attributes:
        latents: clean latents without candidate axis, each ``[T, ...]``; where a mask
            is 1 they do not matter.
        masks: a tree like `latents` of ``[T]`` in [0, 1], see above.
    """

    latents: PyTree
    masks: PyTree


class Frames(NamedTuple):
    """A population at one step, ready for the network.

    Attributes:
        settled: latents, the given ones where they are given.
        entered: the same, with frames that begin to take part brought to the noise
            level: input of the network.
        active: ``[N, T]`` each, True for frames that take part; None for all.
    """

    settled: PyTree
    entered: PyTree
    active: PyTree | None


def over_frames(mask: Array, x: Array) -> Array:
    """Return a mask of samples and frames with axes for what a frame holds."""
    return mask.reshape(*mask.shape, *([1] * (x.ndim - mask.ndim)))


def active_frames(masks: PyTree, sigma: Levels) -> PyTree:
    """Return which frames take part at `sigma`: those whose mask reaches it.

    Args:
        masks: tree of masks, see above, of any leading axes.
        sigma: noise level of the step.
    """

    def reached(level: Level, part: PyTree) -> PyTree:
        return jax.tree.map(lambda mask: mask >= level, part)

    return jax.tree.map(reached, sigma, masks)


def enter_frames(
    latents: PyTree, noise: PyTree, masks: PyTree, sigma: Levels, previous: Levels
) -> PyTree:
    """Bring frames that begin to take part at `sigma` up to that noise level.

    Args:
        latents: ``[N, T, ...]`` each; given frames are clean, active ones at `sigma`.
        noise: standard normal, for the frames that enter.
        masks: ``[N, T]`` each.
        sigma: noise level of this step.
        previous: of the step before, see `previous_level`.
    """
    now, before = active_frames(masks, sigma), active_frames(masks, previous)

    def enter(level: Level, *parts: PyTree) -> PyTree:
        def one(x: Array, fresh: Array, now: Array, before: Array) -> Array:
            noisy = (1 - level) * x + level * fresh
            return jnp.where(over_frames(now & ~before, x), noisy, x)

        return jax.tree.map(one, *parts)

    return jax.tree.map(enter, sigma, latents, noise, now, before)


def start_from(given: Given, noise: PyTree) -> PyTree:
    """Return latents to begin with: noise where a mask is 1, given ones elsewhere.

    Args:
        given: what is given.
        noise: ``[N, T, ...]`` each, of every candidate, at the first noise level.
    """

    def choose(clean: Array, fresh: Array, mask: Array) -> Array:
        return jnp.where(over_frames(mask[None] == 1, fresh), fresh, clean[None])

    return jax.tree.map(choose, given.latents, noise, given.masks)


def settle(
    given: Given,
    latents: PyTree,
    sigma: Levels,
    previous: Levels,
    noise: PyTree | None,
) -> Frames:
    """Put given frames in their places and let frames enter that begin to take part.

    Frames that do not take part yet are the given ones whatever `latents` holds, so
    that mutation and stochastic steps of a search cannot spoil them.

    Args:
        given: what is given.
        latents: ``[N, T, ...]`` each, of the population.
        sigma: noise level of this step.
        previous: of the step before, see `previous_level`.
        noise: standard normal, for frames that enter at this step; None: they do not
            enter yet.
    """
    count = len(jax.tree.leaves(latents)[0])
    masks = jax.tree.map(lambda m: jnp.broadcast_to(m, (count, *m.shape)), given.masks)
    before = active_frames(masks, previous)

    def place(clean: Array, z: Array, mask: Array) -> Array:
        return jnp.where(over_frames(mask, z), z, clean[None])

    settled = jax.tree.map(place, given.latents, latents, before)
    if noise is None:
        return Frames(settled, settled, before)
    entered = enter_frames(settled, noise, masks, sigma, previous)
    return Frames(settled, entered, active_frames(masks, sigma))


def masked_update(settled: PyTree, stepped: PyTree, active: PyTree) -> PyTree:
    """Return the stepped latents of active frames; the others stay as they are.

    Args:
        settled: latents before the step, see `Frames`.
        stepped: latents after it, as if all frames took part.
        active: ``[N, T]`` each, see `active_frames`.
    """

    def choose(old: Array, new: Array, mask: Array) -> Array:
        return jnp.where(over_frames(mask, new), new, old)

    return jax.tree.map(choose, settled, stepped, active)


def previous_level(sigmas: Sequence[Levels], i: int | Int[Array, ""]) -> Levels:
    """Return the noise level of the step before `i`; 1 for the first step."""
    before = levels_at(sigmas, jnp.maximum(i - 1, 0))
    return jax.tree.map(lambda level: jnp.where(i > 0, level, 1.0), before)

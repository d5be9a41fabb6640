"""Moves on the noise path ``z = (1 - sigma) x + sigma noise``, over trees of latents.

Every function takes trees of ``[N, ...]`` arrays. A noise level is one number, Python's
or traced, or a tree of them whose structure is a prefix of the latents', where parts of
the latents (picture and sound, say) follow schedules of their own; the levels of one
call have one structure. Sums are formed in at least float32, and returned in the dtype
of the latents.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from avits_jax.types import Keys, PyTree

Level = float | Float[Array, ""]
# One `Level`, or a tree of them whose structure is a prefix of the latents'.
Levels = PyTree


def at_least_float32(dtype: Any) -> jnp.dtype:
    """Return the dtype to add up in: `dtype` itself, or float32 if that is more."""
    wide = jnp.issubdtype(dtype, jnp.floating) and jnp.finfo(dtype).bits >= 32
    return jnp.dtype(dtype if wide else jnp.float32)


def linear_combination(coefficients: tuple[Any, ...], *trees: PyTree) -> PyTree:
    """Sum ``coefficient * tree`` leaf by leaf, in at least float32.

    Args:
        coefficients: one scalar per tree.
        *trees: trees of one structure; the first fixes the dtype of the result.

    Returns:
        A tree like the first.
    """

    def combine(*leaves: Array) -> Array:
        dtype = at_least_float32(leaves[0].dtype)
        terms = [
            jnp.asarray(coefficient, dtype) * leaf.astype(dtype)
            for coefficient, leaf in zip(coefficients, leaves, strict=True)
        ]
        return sum(terms[1:], start=terms[0]).astype(leaves[0].dtype)

    return jax.tree.map(combine, *trees)


def combined(
    coefficients: Callable[[Level], tuple[Any, Any]],
    sigma: Levels,
    first: PyTree,
    second: PyTree,
) -> PyTree:
    """Return ``a x + b y`` with coefficients that depend on each part's level."""

    def combine(s: Level, x: PyTree, y: PyTree) -> PyTree:
        return linear_combination(coefficients(s), x, y)

    return jax.tree.map(combine, sigma, first, second)


def noise_like(keys: Keys, latents: PyTree) -> PyTree:
    """Draw standard normal noise, each candidate from its own key.

    Leaf ``l`` of candidate ``n`` comes from ``fold_in(keys[n], l)``, so that it does
    not depend on how many candidates there are.

    Args:
        keys: ``[N]`` typed keys.
        latents: tree of ``[N, ...]`` floating arrays (or their shapes).

    Returns:
        A tree like `latents`.
    """
    leaves, treedef = jax.tree.flatten(latents)

    def draw(index: int, leaf: Array | jax.ShapeDtypeStruct) -> Array:
        def one(key: Array) -> Array:
            key = jax.random.fold_in(key, index)
            return jax.random.normal(key, leaf.shape[1:], leaf.dtype)

        return jax.vmap(one)(keys)

    drawn = [draw(index, leaf) for index, leaf in enumerate(leaves)]
    return jax.tree.unflatten(treedef, drawn)


def flow_step(
    latents: PyTree, clean: PyTree, sigma: Levels, next_sigma: Levels
) -> PyTree:
    """Take one Euler step of the flow ODE towards the predicted clean sample.

    ``z' = (1 - s') x + s' (z - (1 - s) x) / s``, which is ``(s'/s) z + (1 - s'/s) x``
    (DDIM with eta 0, Song et al. 2021, eq. 12, on the rectified-flow path).

    Args:
        latents: ``z`` at `sigma`.
        clean: predicted clean sample ``x``.
        sigma: present level ``s``, above 0.
        next_sigma: next level ``s'``, in [0, s].

    Returns:
        Latents at `next_sigma`.
    """

    def move(s: Level, after: Level, z: PyTree, x: PyTree) -> PyTree:
        ratio = after / s
        return linear_combination((ratio, 1 - ratio), z, x)

    return jax.tree.map(move, sigma, next_sigma, latents, clean)


def sde_step(
    latents: PyTree,
    clean: PyTree,
    noise: PyTree,
    sigma: Levels,
    next_sigma: Levels,
    eta: Level = 1.0,
) -> PyTree:
    """Take one stochastic step with the marginals of `flow_step`.

    ``z' = (1 - s') x + sqrt(s'^2 - tau^2) eps + tau noise``, with ``eps`` the noise
    that `clean` leaves in ``z`` and ``tau = eta s' sqrt(1 - (a s'/s)^2)``,
    ``a = (1 - s) / (1 - s')``: the standard deviation of the posterior (DDIM, Song et
    al. 2021, eq. 16, on the rectified-flow path). Given ``x``, ``z'`` has mean
    ``(1 - s') x`` and deviation ``s'`` for every `eta`.

    Args:
        latents: ``z`` at `sigma`.
        clean: predicted clean sample ``x``.
        noise: standard normal, see `noise_like`.
        sigma: present level ``s``, above 0.
        next_sigma: next level ``s'``, in [0, s).
        eta: 0 for the ODE step, 1 for ancestral sampling.

    Returns:
        Latents at `next_sigma`.
    """

    def move(s: Level, after: Level, *trees: PyTree) -> PyTree:
        correlation = (1 - s) / (1 - after) * after / s
        fresh = jnp.clip(1 - jnp.square(correlation), 0, 1)
        tau = eta * after * jnp.sqrt(fresh)
        kept = jnp.sqrt(jnp.clip(jnp.square(after) - jnp.square(tau), 0))
        of_latents = kept / s
        of_clean = (1 - after) - of_latents * (1 - s)
        return linear_combination((of_latents, of_clean, tau), *trees)

    return jax.tree.map(move, sigma, next_sigma, latents, clean, noise)


def renoise(
    latents: PyTree, noise: PyTree, sigma: Levels, higher_sigma: Levels
) -> PyTree:
    """Bring latents up to a higher noise level, as the forward process would.

    ``z' = a z + sqrt(s'^2 - a^2 s^2) noise`` with ``a = (1 - s') / (1 - s)``: latents
    with the marginal of ``s`` get exactly that of ``s'``.

    Args:
        latents: ``z`` at `sigma`.
        noise: standard normal, see `noise_like`.
        sigma: present level ``s``, in [0, 1].
        higher_sigma: level ``s'`` in [s, 1].

    Returns:
        Latents at `higher_sigma`; unchanged if the two levels are equal.
    """

    def move(s: Level, higher: Level, z: PyTree, fresh: PyTree) -> PyTree:
        room = jnp.asarray(1 - s, float)
        # At level 1 nothing but noise is left, and only level 1 can be asked for.
        scale = jnp.where(room > 0, (1 - higher) / jnp.where(room > 0, room, 1), 1)
        variance = jnp.square(higher) - jnp.square(scale * s)
        added = jnp.sqrt(jnp.clip(variance, 0))
        return linear_combination((scale, added), z, fresh)

    return jax.tree.map(move, sigma, higher_sigma, latents, noise)

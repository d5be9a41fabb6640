"""Moves on the noise path ``z = (1 - sigma) x + sigma noise``, over trees of latents.

Every function takes trees of ``[N, ...]`` arrays and scalar noise levels, Python floats
or traced. Sums are formed in at least float32 and returned in the latents' dtype.
"""

from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from avits_jax.types import Keys, PyTree

Level = float | Float[Array, ""]


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

    def draw(index: int, leaf: Array) -> Array:
        def one(key: Array) -> Array:
            key = jax.random.fold_in(key, index)
            return jax.random.normal(key, leaf.shape[1:], leaf.dtype)

        return jax.vmap(one)(keys)

    drawn = [draw(index, leaf) for index, leaf in enumerate(leaves)]
    return jax.tree.unflatten(treedef, drawn)


def flow_step(
    latents: PyTree, clean: PyTree, sigma: Level, next_sigma: Level
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
    ratio = next_sigma / sigma
    return linear_combination((ratio, 1 - ratio), latents, clean)


def sde_step(
    latents: PyTree,
    clean: PyTree,
    noise: PyTree,
    sigma: Level,
    next_sigma: Level,
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
    correlation = (1 - sigma) / (1 - next_sigma) * next_sigma / sigma
    fresh = jnp.clip(1 - jnp.square(correlation), 0, 1)
    tau = eta * next_sigma * jnp.sqrt(fresh)
    kept = jnp.sqrt(jnp.clip(jnp.square(next_sigma) - jnp.square(tau), 0))
    of_latents = kept / sigma
    of_clean = (1 - next_sigma) - of_latents * (1 - sigma)
    return linear_combination((of_latents, of_clean, tau), latents, clean, noise)


def renoise(
    latents: PyTree, noise: PyTree, sigma: Level, higher_sigma: Level
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
    room = jnp.asarray(1 - sigma, float)
    # At sigma 1 nothing but noise is left, and only higher_sigma 1 can be asked for.
    scale = jnp.where(room > 0, (1 - higher_sigma) / jnp.where(room > 0, room, 1), 1)
    variance = jnp.square(higher_sigma) - jnp.square(scale * sigma)
    added = jnp.sqrt(jnp.clip(variance, 0))
    return linear_combination((scale, added), latents, noise)

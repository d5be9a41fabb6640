"""Guidance: extrapolate from weaker predictions to the one with the whole prompt.

A network sees the G branches of a candidate (with the prompt, without it, without one
of its parts, ...) as rows of one batch, candidate-major: row ``n G + g`` is branch
``g`` of candidate ``n``. Over a mesh that splits candidates, its rows stay together,
unless the mesh has an axis for them, see `shares_branches`.
"""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array

from avits_jax.sampling.steps import at_least_float32, linear_combination
from avits_jax.types import PyTree

BRANCH = "branch"
"""Axis of a mesh whose devices work on the same candidates, one branch each."""


def shares_branches(num_branches: int) -> bool:
    """Tell whether this is traced for devices that make one branch each."""
    mesh = jax.sharding.get_abstract_mesh()
    return BRANCH in mesh.manual_axes and mesh.shape[BRANCH] == num_branches


def shared_branches(one: Callable[[Array], PyTree]) -> PyTree:
    """Return the rows ``[N G, ...]`` of which every device makes those of one branch.

    Args:
        one: ``(g) -> tree`` of ``[N, ...]`` arrays: the rows of branch ``g``, an int32
            that each device knows when it runs.
    """

    def join(own: Array) -> Array:
        rows = jax.lax.all_gather(own, BRANCH, axis=1)
        return rows.reshape(-1, *own.shape[1:])

    return jax.tree.map(join, one(jax.lax.axis_index(BRANCH)))


def repeat_rows(tree: PyTree, num_branches: int) -> PyTree:
    """Repeat every candidate's row for its branches, ``[N, ...] -> [N G, ...]``.

    Row ``n G + g`` is row ``n``.
    """
    return jax.tree.map(lambda x: jnp.repeat(x, num_branches, axis=0), tree)


def join_branches(*branches: PyTree) -> PyTree:
    """Join G trees of ``[N, ...]`` arrays to rows ``[N G, ...]``.

    Row ``n G + g`` is row ``n`` of ``branches[g]``.
    """

    def join(*leaves: Array) -> Array:
        return jnp.stack(leaves, 1).reshape(-1, *leaves[0].shape[1:])

    return jax.tree.map(join, *branches)


def split_branches(tree: PyTree, num_branches: int) -> tuple[PyTree, ...]:
    """Split rows ``[N G, ...]`` into G trees of ``[N, ...]``; undoes `join_branches`.

    Raises:
        ValueError: the number of rows is no multiple of `num_branches`.
    """
    for leaf in jax.tree.leaves(tree):
        if len(leaf) % num_branches:
            raise ValueError(
                f"rows must be a multiple of num_branches = {num_branches}, "
                f"got {len(leaf)}"
            )
    return tuple(
        jax.tree.map(lambda x, g=branch: x[g::num_branches], tree)
        for branch in range(num_branches)
    )


def combine(
    conditional: PyTree,
    others: Sequence[PyTree],
    scales: Sequence[PyTree],
    rescale: PyTree = 0.0,
) -> PyTree:
    """Return ``c + sum_b w_b (c - u_b)`` leaf by leaf, then rescale its deviation.

    With one branch ``u`` without the prompt this is classifier-free guidance of
    ``guidance_scale = 1 + w`` (Ho & Salimans 2022, eq. 6): give ``guidance_scale - 1``.
    Several conditions are several branches, each without one of them: with the text
    left out and the image left out, ``(2.0, 0.5)`` are guidance scales 3 and 1.5.

    Strong guidance raises the contrast of a prediction ``g``; with `rescale` phi the
    result is ``g (phi std(c) / std(g) + 1 - phi)``, deviations over all axes of a leaf
    but the candidates' (Lin et al. 2023, "Common Diffusion Noise Schedules and Sample
    Steps are Flawed", sec. 3.4, eq. 15 and 16).

    Args:
        conditional: prediction ``c`` with everything, tree of ``[N, ...]`` arrays.
        others: predictions ``u_b`` that lack something, each like `conditional`.
        scales: a weight ``w_b`` per branch: one number, or a tree of numbers whose
            structure is a prefix of the predictions'. 0 leaves a branch out.
        rescale: phi in [0, 1], a Python number or a prefix tree of them; 0 leaves the
            deviation as it is.

    Returns:
        A tree like `conditional`.

    Raises:
        ValueError: there is not one scale per branch, or structures do not match.
    """
    if len(others) != len(scales):
        raise ValueError(
            f"scales must hold one entry per branch ({len(others)}), got {len(scales)}"
        )
    weights = [_like(scale, conditional) for scale in scales]

    def guide(with_all: Array, *rest: Any) -> Array:
        without, factors = rest[: len(others)], rest[len(others) :]
        coefficients = (1 + sum(factors), *(-factor for factor in factors))
        return linear_combination(coefficients, with_all, *without)

    guided = jax.tree.map(guide, conditional, *others, *weights)
    return jax.tree.map(_rescaled, guided, conditional, _like(rescale, conditional))


def _like(prefix: PyTree, tree: PyTree) -> PyTree:
    """Return `prefix` spread over the structure of `tree`."""
    return jax.tree.map(lambda x, part: jax.tree.map(lambda _: x, part), prefix, tree)


def _rescaled(guided: Array, conditional: Array, rescale: float) -> Array:
    """Bring the deviation of each row towards that of `conditional`."""
    if rescale == 0:
        return guided
    wide = guided.astype(at_least_float32(guided.dtype))
    axes = tuple(range(1, guided.ndim))
    wanted = conditional.astype(wide.dtype).std(axes, keepdims=True)
    found = wide.std(axes, keepdims=True)
    # A constant row has no deviation to bring anywhere.
    ratio = jnp.where(found > 0, wanted / jnp.where(found > 0, found, 1), 1)
    return (wide * (rescale * ratio + (1 - rescale))).astype(guided.dtype)


def classifier_free_guidance(
    conditional: PyTree, unconditional: PyTree, scale: PyTree
) -> PyTree:
    """Return ``unconditional + scale (conditional - unconditional)`` leaf by leaf.

    Clean samples, velocities and noise are affine in each other at a given level, so
    any of them may be guided (Ho & Salimans 2022, eq. 6, with ``scale = 1 + w``).

    Args:
        conditional: prediction with the prompt, tree of ``[N, ...]`` arrays.
        unconditional: prediction without it, the same structure.
        scale: one number, or a tree of numbers whose structure is a prefix of the
            predictions' (one scale for video and one for audio, say). 1 gives the
            conditional prediction, 0 the unconditional one.

    Returns:
        A tree like `conditional`.

    Raises:
        ValueError: the structures do not match.
    """

    def guide(factor: PyTree, with_prompt: PyTree, without: PyTree) -> PyTree:
        return linear_combination((factor, 1 - factor), with_prompt, without)

    return jax.tree.map(guide, scale, conditional, unconditional)

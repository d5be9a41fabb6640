"""Guidance: extrapolate from an unconditional to a conditional prediction."""

import jax

from avits_jax.sampling.steps import linear_combination
from avits_jax.types import PyTree


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

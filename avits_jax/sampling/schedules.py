"""Noise levels of rectified-flow samplers, as static tuples of floats.

A schedule has ``num_steps + 1`` levels that fall strictly from at most 1 (pure noise)
to exactly 0 (a clean sample). Static levels let searches check step numbers before
anything is compiled. Where parts of the latents follow schedules of their own, a level
is a tree of floats whose structure is a prefix of the latents':

>>> levels = zip(linear_sigmas(10), shifted_sigmas(10, shift=3.0))
>>> sigmas = tuple({"video": video, "audio": audio} for audio, video in levels)
"""

import itertools
import math
import operator
from collections.abc import Sequence

import jax
import jax.numpy as jnp
from jaxtyping import Array, Int

from avits_jax.types import PyTree


def check_sigmas(sigmas: Sequence[PyTree]) -> tuple[PyTree, ...]:
    """Return `sigmas` as a tuple of floats, or say what is wrong with them.

    Args:
        sigmas: at least two levels, strictly falling, first in (0, 1], last 0; or trees
            of one structure, each leaf of which goes through such levels.

    Returns:
        The levels as Python floats, or trees of them.

    Raises:
        ValueError: the levels are too few, not finite, out of range, or do not fall, or
            are trees of several structures.
    """
    structures = {jax.tree.structure(level) for level in sigmas}
    if len(structures) != 1:
        raise ValueError(
            "sigmas must be numbers, or trees of one structure, got "
            f"{' and '.join(sorted(map(str, structures))) or 'none'}"
        )
    (structure,) = structures
    schedules = zip(*map(jax.tree.leaves, sigmas), strict=True)
    rows = zip(*map(_check_levels, schedules), strict=True)
    return tuple(jax.tree.unflatten(structure, row) for row in rows)


def levels_at(sigmas: Sequence[PyTree], i: int | Int[Array, ""]) -> PyTree:
    """Return the level of step `i`, which may be traced: an array, or a tree of them.

    Args:
        sigmas: a schedule, see `check_sigmas`.
        i: step, in [0, num_steps].
    """
    return jax.tree.map(lambda *levels: jnp.asarray(levels)[i], *sigmas)


def _check_levels(sigmas: Sequence[float]) -> tuple[float, ...]:
    levels = tuple(float(level) for level in sigmas)
    if len(levels) < 2 or not all(map(math.isfinite, levels)):
        raise ValueError(f"sigmas must be two or more finite levels, got {levels}")
    if levels[0] > 1 or levels[-1] != 0:
        raise ValueError(
            "sigmas must start at 1 or below and end at 0, "
            f"got {levels[0]} ... {levels[-1]}"
        )
    for before, after in itertools.pairwise(levels):
        if after >= before:
            raise ValueError(f"sigmas must fall strictly, got {before} before {after}")
    return levels


def linear_sigmas(num_steps: int, sigma_max: float = 1.0) -> tuple[float, ...]:
    """Space noise levels evenly: ``sigma_i = sigma_max (1 - i / num_steps)``.

    Args:
        num_steps: number of denoising steps, at least 1.
        sigma_max: first level, in (0, 1].

    Returns:
        ``num_steps + 1`` levels from `sigma_max` to 0.

    Raises:
        ValueError: `num_steps` is below 1 or `sigma_max` is outside (0, 1].
    """
    num_steps = operator.index(num_steps)
    if num_steps < 1:
        raise ValueError(f"num_steps must be at least 1, got {num_steps}")
    if not 0 < sigma_max <= 1:
        raise ValueError(f"sigma_max must lie in (0, 1], got {sigma_max}")
    return tuple(sigma_max * (1 - i / num_steps) for i in range(num_steps + 1))


def shift_sigmas(sigmas: Sequence[float], shift: float) -> tuple[float, ...]:
    """Warp noise levels: ``sigma' = shift sigma / (1 + (shift - 1) sigma)``.

    A shift above 1 spends more steps at high noise, as larger clips need (Esser et
    al. 2024, "Scaling Rectified Flow Transformers", eq. 23). 0 and 1 stay in place.

    Args:
        sigmas: a schedule, see `check_sigmas`.
        shift: above 0; 1 leaves the levels as they are.

    Returns:
        As many levels as were given.

    Raises:
        ValueError: `shift` is not above 0, or `sigmas` is no schedule.
    """
    if not (math.isfinite(shift) and shift > 0):
        raise ValueError(f"shift must be finite and above 0, got {shift}")
    levels = _check_levels(sigmas)
    # Written so that 1 stays exactly 1.
    return tuple(shift * s / (shift * s + (1 - s)) for s in levels)


def shifted_sigmas(
    num_steps: int, shift: float, sigma_max: float = 1.0
) -> tuple[float, ...]:
    """Space noise levels evenly, then warp them by `shift` (see `shift_sigmas`).

    Args:
        num_steps: number of denoising steps, at least 1.
        shift: above 0; 1 gives `linear_sigmas`.
        sigma_max: first level before the warp, in (0, 1].

    Returns:
        ``num_steps + 1`` levels.

    Raises:
        ValueError: an argument is out of range.
    """
    return shift_sigmas(linear_sigmas(num_steps, sigma_max), shift)

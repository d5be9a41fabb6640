"""How often what is chosen is right, where the truth of candidates is known."""

import numpy as np
from jaxtyping import Bool, Float, Int

from avits_jax.study.intervals import Interval, intervals, triple
from avits_jax.study.rescoring import usable

Table = Float[np.ndarray, "P N V"]
Truth = Float[np.ndarray, "P N"]
"""1 where a candidate is right, 0 where not, NaN where nobody knows."""


def rates_right(
    rewards: Table, winners: Int[np.ndarray, "S P"], truth: Truth
) -> list[tuple[Interval, Interval]]:
    """Return how often the winners of each selection are right.

    Prompts with a usable candidate of unknown truth are left out.

    Args:
        rewards: ``[P, N, V]`` raw rewards; every prompt has a usable candidate.
        winners: ``[S, P]`` candidates, none of them -1.
        truth: ``[P, N]``.

    Returns:
        for each selection the rate, and that rate less the mean candidate's.
    """
    known = known_prompts(rewards, truth)
    mean = _share_right(rewards, truth)[known]
    right = np.array([truth[np.arange(len(row)), row][known] for row in winners]).T
    rates, gained = intervals(right), intervals(right - mean[:, None])
    return [(triple(a), triple(b)) for a, b in zip(rates, gained, strict=True)]


def rates_right_at_all(rewards: Table, truth: Truth) -> tuple[Interval, Interval]:
    """Return how often one sample is right, and how often some candidate is.

    Args:
        rewards: as in `rates_right`.
        truth: likewise.
    """
    known = known_prompts(rewards, truth)
    mean = _share_right(rewards, truth)[known]
    one, some = intervals(np.column_stack([mean, mean > 0]))
    return triple(one), triple(some)


def known_prompts(rewards: Table, truth: Truth) -> Bool[np.ndarray, " P"]:
    """Tell of which prompts the truth of every usable candidate is known.

    Args:
        rewards: ``[P, N, V]`` raw rewards.
        truth: ``[P, N]``.
    """
    unknown = usable(rewards) & np.isnan(truth)
    return ~np.logical_or.reduce(unknown, axis=1)


def _share_right(rewards: Table, truth: Truth) -> Float[np.ndarray, " P"]:
    there = usable(rewards)
    return np.where(there, truth, 0).sum(axis=1) / there.sum(axis=1)

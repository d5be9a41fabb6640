"""What selections come to as the number of candidates grows."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from avits_jax.study import statistics
from avits_jax.study.analysis import Runs, Table, choose_all
from avits_jax.study.intervals import Interval, intervals
from avits_jax.study.rescoring import first_candidates, usable
from avits_jax.study.rightness import Truth, rates_right
from avits_jax.study.selections import Selection


class Point(NamedTuple):
    """What a selection comes to with the first candidates alone.

    Attributes:
        num_candidates: how many candidates of each prompt there are.
        rewards: ``[V]`` mean reward of the winners.
        gains: ``[V, 3]`` of winner less mean candidate of all.
        right: rate of right winners; None without truth.
        num_prompts: prompts with a usable candidate among the first.
    """

    num_candidates: int
    rewards: Float[np.ndarray, " V"]
    gains: Float[np.ndarray, "V 3"]
    right: Interval | None
    num_prompts: int


def growth(
    rewards: Table,
    selections: Sequence[Selection],
    runs: Runs,
    truth: Truth | None = None,
) -> list[list[Point]]:
    """Measure selections with the first 1, 2, 4, ... candidates of every prompt.

    Aggregators learn from those candidates only, as in runs of so many.

    Args:
        rewards: as in `measure`.
        selections: what chooses.
        runs: as in `choose_all`.
        truth: as in `measure`.

    Returns:
        the points of each selection, one less where no prompt has a usable candidate.
    """
    curves: list[list[Point]] = [[] for _ in selections]
    for count in counts_up_to(rewards.shape[1]):
        fewer = first_candidates(rewards, count)
        there = usable(fewer).any(axis=1)
        if not there.any():
            continue
        winners = choose_all(fewer, selections, runs)[:, there]
        rates: list[Interval | None] = [None] * len(winners)
        if truth is not None:
            found = rates_right(rewards[there], winners, truth[there])
            rates = [rate for rate, _ in found]
        gained = [statistics.advantages(rewards[there], row) for row in winners]
        gains = np.split(intervals(np.concatenate(gained, axis=1)), len(winners))
        for place, row in enumerate(winners):
            chosen = statistics.winner_rewards(rewards[there], row)
            curves[place].append(
                Point(
                    count,
                    chosen.mean(axis=0),
                    gains[place],
                    rates[place],
                    int(there.sum()),
                )
            )
    return curves


def counts_up_to(most: int) -> list[int]:
    """Return 1, 2, 4, ... and ``most``, which is at least 1."""
    powers = [2**i for i in range(most.bit_length()) if 2**i < most]
    return [*powers, most]

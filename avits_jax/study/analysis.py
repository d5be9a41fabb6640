"""Choose by every selection, and measure what came of it."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float, Int

from avits_jax.study import statistics
from avits_jax.study.aggregators import calibrated
from avits_jax.study.intervals import Interval, intervals, triple
from avits_jax.study.rescoring import NOBODY, pick
from avits_jax.study.rightness import Truth, rates_right, rates_right_at_all
from avits_jax.study.selections import ALONE, Selection

Table = Float[np.ndarray, "P N V"]
Runs = Int[np.ndarray, " P"]


class Outcome(NamedTuple):
    """What came of a selection.

    Attributes:
        selection: what chose.
        rewards: ``[V]`` mean reward of the winners.
        gains: ``[V, 3]`` mean and interval of winner less mean candidate.
        attained: ``[V]`` that gain as a share of the largest possible; NaN where the
            candidates do not differ.
        none_worse: share of prompts whose winner is at least as good as the mean
            candidate under every verifier.
        judge_worse: share of prompts whose winner is worse than the mean candidate
            under a verifier that did not guide; None where all guided.
        right: rate of winners that are right; None without truth.
        right_gain: that rate less the mean candidate's, paired by prompt.
    """

    selection: Selection
    rewards: Float[np.ndarray, " V"]
    gains: Float[np.ndarray, "V 3"]
    attained: Float[np.ndarray, " V"]
    none_worse: Interval
    judge_worse: Interval | None
    right: Interval | None
    right_gain: Interval | None


class Baseline(NamedTuple):
    """What choosing can be measured against.

    Attributes:
        mean: ``[V]`` mean reward of the mean candidate: one sample.
        best: ``[V]`` mean of each verifier's highest reward.
        mean_right: rate of one sample that is right; None without truth.
        any_right: share of prompts with a right candidate; None without truth.
    """

    mean: Float[np.ndarray, " V"]
    best: Float[np.ndarray, " V"]
    mean_right: Interval | None
    any_right: Interval | None


def choose_all(
    rewards: Table, selections: Sequence[Selection], runs: Runs
) -> Int[np.ndarray, "S P"]:
    """Choose each prompt's winner by every selection.

    Args:
        rewards: ``[P, N, V]`` raw rewards; NaN marks candidates that failed, or that
            are not there. Prompts stand in the order of their run.
        selections: over V verifiers.
        runs: ``[P]`` the run that each prompt is of; aggregators start afresh in each.

    Returns:
        ``[S, P]`` index of the winner, -1 where no candidate is usable.
    """
    winners = np.full((len(selections), len(rewards)), NOBODY, np.int32)
    for run in np.unique(runs):
        here = runs == run
        terms = {}
        for place, selection in enumerate(selections):
            name = selection.aggregator
            if name not in terms:
                plain = "weighted" if name == ALONE else name
                terms[name] = calibrated(plain, rewards[here])
            winners[place, here] = pick(terms[name], selection.weights)
    return winners


def measure(
    rewards: Table,
    selections: Sequence[Selection],
    winners: Int[np.ndarray, "S P"],
    truth: Truth | None = None,
) -> list[Outcome]:
    """Measure what came of selections.

    Args:
        rewards: ``[P, N, V]`` raw rewards; every prompt has a usable candidate.
        selections: what chose.
        winners: ``[S, P]`` of `choose_all`.
        truth: ``[P, N]`` 1 where a candidate is right, 0 where not; prompts whose
            usable candidates are NaN are left out of rates.
    """
    room = statistics.best_rewards(rewards) - statistics.mean_rewards(rewards)
    room = room.sum(axis=0)
    rates: Sequence[Any] = [(None, None)] * len(winners)
    if truth is not None:
        rates = rates_right(rewards, winners, truth)
    columns = [
        _columns(rewards, selection, row)
        for selection, row in zip(selections, winners, strict=True)
    ]
    # All in one product, which is many times faster than one for each.
    found = intervals(np.concatenate(columns, axis=1))
    made = []
    for place, (selection, row) in enumerate(zip(selections, winners, strict=True)):
        *gains, whole, worse = np.split(found, len(selections))[place]
        total = columns[place][:, :-2].sum(axis=0)
        made.append(
            Outcome(
                selection=selection,
                rewards=statistics.winner_rewards(rewards, row).mean(axis=0),
                gains=np.array(gains),
                attained=np.where(
                    room > 0, total / np.where(room > 0, room, 1), np.nan
                ),
                none_worse=triple(whole),
                judge_worse=triple(worse) if selection.judges else None,
                right=rates[place][0],
                right_gain=rates[place][1],
            )
        )
    return made


def _columns(
    rewards: Table, selection: Selection, winners: Int[np.ndarray, " P"]
) -> Float[np.ndarray, "P W"]:
    """Return gains of every verifier, whether none lost, and whether a judge did."""
    gained = statistics.advantages(rewards, winners)
    fine = statistics.none_worse(gained[:, list(selection.judges)])
    return np.column_stack([gained, statistics.none_worse(gained), ~fine])


def baseline(rewards: Table, truth: Truth | None = None) -> Baseline:
    """Return what one sample is worth, and what the best choice would be.

    Args:
        rewards: as in `measure`.
        truth: likewise.
    """
    mean = some = None
    if truth is not None:
        mean, some = rates_right_at_all(rewards, truth)
    return Baseline(
        statistics.mean_rewards(rewards).mean(axis=0),
        statistics.best_rewards(rewards).mean(axis=0),
        mean,
        some,
    )

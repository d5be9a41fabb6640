"""A whole study: every number that its tables, page and plots show."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from avits_jax.study import statistics
from avits_jax.study.analysis import Baseline, Outcome, baseline, choose_all, measure
from avits_jax.study.growth import Point, growth
from avits_jax.study.kept import Kept
from avits_jax.study.rightness import Truth, known_prompts
from avits_jax.study.selections import Selection, is_main, make_selections


class Study(NamedTuple):
    """What selections come to on kept rewards.

    Attributes:
        kept: the rewards.
        baseline: one sample, and the best choice possible.
        outcomes: of every selection.
        spearman: ``[V, V]`` rank correlations of verifiers within prompts.
        same_winner: ``[V, V]`` how often two verifiers, each alone, choose the same.
        agreement: ``[S, S]`` how often two selections do.
        chance: how often two random choices have.
        curves: of the selections by one guide, by all guides or by given weights, with
            what they come to as the number of candidates grows; where there is no such
            selection, of all.
        num_known: prompts of which the truth is known; None without truth.
    """

    kept: Kept
    baseline: Baseline
    outcomes: list[Outcome]
    spearman: Float[np.ndarray, "V V"]
    same_winner: Float[np.ndarray, "V V"]
    agreement: Float[np.ndarray, "S S"]
    chance: float
    curves: list[tuple[Selection, list[Point]]]
    num_known: int | None


def make_study(
    kept: Kept, selections: Sequence[Selection], truth: Truth | None = None
) -> Study:
    """Choose from kept rewards by every selection, and measure what comes of it.

    Args:
        kept: of `read_kept`.
        selections: of `make_selections`.
        truth: ``[P, N]`` of `read_truth`.

    Example:
        >>> kept = read_kept(["runs/many"])
        >>> guides = range(kept.num_guides)
        >>> selections = make_selections(kept.names, guides, ["weighted", "arw"])
        >>> for outcome in make_study(kept, selections).outcomes:
        ...     print(outcome.selection.name, outcome.gains[:, 0])
    """
    rewards, runs = kept.rewards, kept.runs
    winners = choose_all(rewards, selections, runs)
    main = [each for each in selections if is_main(each, kept.num_guides)]
    main = main or list(selections)
    alone = make_selections(kept.names, range(len(kept.names)), (), sizes=[1])
    points = growth(rewards, main, runs, truth)
    return Study(
        kept=kept,
        baseline=baseline(rewards, truth),
        outcomes=measure(rewards, selections, winners, truth),
        spearman=statistics.spearman(rewards),
        same_winner=statistics.agreement(choose_all(rewards, alone, runs)),
        agreement=statistics.agreement(winners),
        chance=statistics.chance_agreement(rewards),
        curves=list(zip(main, points, strict=True)),
        num_known=None if truth is None else int(known_prompts(rewards, truth).sum()),
    )

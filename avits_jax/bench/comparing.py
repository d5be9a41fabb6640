"""A table against another: paired intervals over prompts, joint domination, cost."""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from avits_jax.bench.costs import EVALUATIONS
from avits_jax.bench.table import Table, join
from avits_jax.report.domination import Domination, domination
from avits_jax.study.intervals import Interval, paired_interval

# Evaluations per prompt of two searches of the same budget may differ by this share.
_SAME_BUDGET = 0.02


class Difference(NamedTuple):
    """A column against the same of another table, over the prompts that both have.

    Attributes:
        ours: mean of the first table.
        theirs: mean of the other.
        interval: of ``ours - theirs``, 95%, paired by prompt.
        better: whether all of the interval is on the better side; None where it holds
            zero.
        num_prompts: that both have.
    """

    ours: float
    theirs: float
    interval: Interval
    better: bool | None
    num_prompts: int


class Comparison(NamedTuple):
    """A table against another one: a baseline of one sample, or any other.

    Attributes:
        against: name of the other.
        differences: of every column with one number per clip.
        domination: how often none of these columns is worse than the other table's;
            None where no prompt has all of them.
        costs: cost -> mean per prompt of both.
        equal_budget: whether both took as many evaluations per prompt; None where that
            is not known.
    """

    against: str
    differences: dict[str, Difference]
    domination: Domination | None
    costs: dict[str, tuple[float, float]]
    equal_budget: bool | None


def compare(table: Table, other: Table) -> Comparison:
    """Compare a table with another one of the same protocol.

    Args:
        table: of the clips in question.
        other: of one sample per prompt, or of any other choice for the same prompts.

    Raises:
        ProtocolError: they are of different modes or protocols.
    """
    join([table, other])
    advantages = _advantages(table, other)
    differences = {
        key: _difference(table, other, key)
        for key, values in advantages.items()
        if not np.isnan(values).all()
    }
    costs = _costs(table, other)
    return Comparison(
        other.method.name,
        differences,
        _domination(table, {key: advantages[key] for key in differences}),
        costs,
        _equal(costs),
    )


def _advantages(table: Table, other: Table) -> dict[str, np.ndarray]:
    """Return how much better each clip is, for every column of single clips."""
    return {
        key: (table.clips[key] - other.clips[key]) * (1 if entry.column.higher else -1)
        for key, entry in table.entries.items()
        if key in table.clips and key in other.clips
    }


def _difference(table: Table, other: Table, key: str) -> Difference:
    ours, theirs = table.clips[key], other.clips[key]
    both = ~np.isnan(ours - theirs)
    found = paired_interval(ours, theirs)
    higher = table.entries[key].column.higher
    better = None
    if found[1] > 0 or found[2] < 0:
        better = (found[1] > 0) == higher
    means = float(ours[both].mean()), float(theirs[both].mean())
    return Difference(*means, found, better, int(both.sum()))


def _domination(
    table: Table, advantages: Mapping[str, np.ndarray]
) -> Domination | None:
    """Count prompts where no column is worse; columns that guided stand first."""
    if not advantages:
        return None
    order = sorted(advantages, key=lambda key: not table.entries[key].guided)
    guides = sum(table.entries[key].guided for key in order)
    return domination(np.stack([advantages[key] for key in order], axis=1), guides)


def _costs(table: Table, other: Table) -> dict[str, tuple[float, float]]:
    found = {}
    for name in table.costs.keys() & other.costs:
        pair = table.costs[name], other.costs[name]
        if not any(np.isnan(costs).all() for costs in pair):
            found[name] = float(np.nanmean(pair[0])), float(np.nanmean(pair[1]))
    return {name: found[name] for name in table.costs if name in found}


def _equal(costs: Mapping[str, tuple[float, float]]) -> bool | None:
    if EVALUATIONS not in costs:
        return None
    ours, theirs = costs[EVALUATIONS]
    return bool(abs(ours - theirs) <= _SAME_BUDGET * max(ours, theirs))

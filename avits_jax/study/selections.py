"""Which selections a study compares: subsets of verifiers, aggregators, weights."""

import itertools
import math
from collections.abc import Sequence
from typing import NamedTuple

ALONE = "alone"
"""Stands for the aggregator where one verifier guides, which needs none."""


class Selection(NamedTuple):
    """A way to choose among a prompt's candidates.

    Attributes:
        aggregator: a name of `AGGREGATORS`, or "alone".
        weights: ``[V]``, 0 for the verifiers that do not guide.
        name: in words.
    """

    aggregator: str
    weights: tuple[float, ...]
    name: str

    @property
    def guides(self) -> tuple[int, ...]:
        """Return the verifiers that guide, as columns."""
        return tuple(c for c, weight in enumerate(self.weights) if weight)

    @property
    def judges(self) -> tuple[int, ...]:
        """Return those that do not, and so can judge."""
        return tuple(c for c, weight in enumerate(self.weights) if not weight)


def make_selections(
    names: Sequence[str],
    guides: Sequence[int],
    aggregators: Sequence[str],
    *,
    sizes: Sequence[int] | None = None,
    weights: Sequence[Sequence[float]] = (),
) -> list[Selection]:
    """Return every subset of guides under every aggregator, then the weights given.

    Args:
        names: of all V verifiers.
        guides: columns of those that may guide.
        aggregators: names of `AGGREGATORS`.
        sizes: of the subsets; all by default. A verifier alone is one selection.
        weights: more selections over all guides, one weight for each of them; under
            every aggregator.

    Example:
        >>> [s.name for s in make_selections(["a", "b"], [0, 1], ["arw"])]
        ['a', 'b', 'arw: a + b']
    """
    made = []
    for size in range(1, len(guides) + 1) if sizes is None else sizes:
        for subset in itertools.combinations(guides, size):
            ones = _spread(len(names), subset, [1.0] * size)
            text = " + ".join(names[column] for column in subset)
            if size == 1:
                made.append(Selection(ALONE, ones, text))
            else:
                made += [Selection(a, ones, f"{a}: {text}") for a in aggregators]
    for row in weights:
        parts = zip(row, guides, strict=True)
        text = " + ".join(f"{weight:g} {names[c]}" for weight, c in parts if weight)
        spread = _spread(len(names), guides, row)
        made += [Selection(a, spread, f"{a}: {text}") for a in aggregators]
    return made


def is_main(selection: Selection, num_guides: int) -> bool:
    """Tell a selection by one guide, by all of them or by other weights.

    Args:
        selection: over verifiers of which the first may guide.
        num_guides: how many those are.
    """
    equal = set(selection.weights) <= {0.0, 1.0}
    return not equal or len(selection.guides) in (1, num_guides)


def count_selections(
    num_guides: int, num_aggregators: int, sizes: Sequence[int]
) -> int:
    """Count the selections that `make_selections` would make, without weights.

    Args:
        num_guides: how many verifiers may guide.
        num_aggregators: how many aggregators there are.
        sizes: of the subsets.
    """
    return sum(
        math.comb(num_guides, size) * (1 if size == 1 else num_aggregators)
        for size in sizes
    )


def _spread(
    count: int, columns: Sequence[int], weights: Sequence[float]
) -> tuple[float, ...]:
    """Return ``count`` weights, those of other columns 0."""
    by_column = dict(zip(columns, weights, strict=True))
    return tuple(float(by_column.get(column, 0.0)) for column in range(count))

"""What a search spends, known before it runs."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

from avits_jax.aggregation.checks import check_count
from avits_jax.types import Generator


class Cost(NamedTuple):
    """Work of one search on one prompt.

    Attributes:
        nfe: network evaluations; a guidance pair counts as 2.
        decodes: candidates decoded, previews and the winner's second decoding included.
        verifier_calls: candidates scored, times the number of verifiers that guide.
            Both include what the generator's own steps decode and call.
        flops: operations of the network evaluations, or None where the generator does
            not state them.
    """

    nfe: int
    decodes: int
    verifier_calls: int
    flops: float | None = None


def largest_within(max_nfe: int, cost: Callable[[int], Cost]) -> int:
    """Return the largest size whose predicted cost is within a budget.

    The size is whatever `cost` counts by: candidates, generations, iterations. Runs on
    the host, before anything is traced.

    Args:
        max_nfe: budget of network evaluations.
        cost: predicted cost of a size of 1 or more; must not fall as size grows.

    Returns:
        A size of at least 1.

    Raises:
        ValueError: even size 1 exceeds the budget.
    """
    check_count("max_nfe", max_nfe)
    if cost(1).nfe > max_nfe:
        raise ValueError(
            f"max_nfe must be at least {cost(1).nfe}, the cost of the smallest search, "
            f"got {max_nfe}"
        )
    low, high = 1, 2
    while cost(high).nfe <= max_nfe:
        if high > max_nfe:
            raise ValueError("cost must grow with size, but it stays within max_nfe")
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        if cost(middle).nfe <= max_nfe:
            low = middle
        else:
            high = middle
    return low


def rollout_cost(
    generator: Generator, num_candidates: int, start: int = 0, stop: int | None = None
) -> Cost:
    """Return what `num_candidates` spend on some steps."""
    nfe = num_candidates * generator.evaluations(start, stop)
    decodes, calls = generator.looks(start, stop)
    each = generator.flops_per_evaluation
    flops = None if each is None else nfe * each
    return Cost(nfe, num_candidates * decodes, num_candidates * calls, flops)


def total_cost(costs: Sequence[Cost]) -> Cost:
    """Return the sum; operations are known where all of them are."""
    known = [cost.flops for cost in costs if cost.flops is not None]
    return Cost(
        nfe=sum(cost.nfe for cost in costs),
        decodes=sum(cost.decodes for cost in costs),
        verifier_calls=sum(cost.verifier_calls for cost in costs),
        flops=sum(known) if len(known) == len(costs) else None,
    )


def scored_cost(
    rollouts: Sequence[Cost],
    num_verifiers: int,
    num_scored: int,
    *,
    winner_again: bool,
) -> Cost:
    """Return the cost of a search: its rollouts, and its looks at clips.

    Args:
        rollouts: see `rollout_cost`.
        num_verifiers: how many guide.
        num_scored: clips decoded and scored outside of the generator's steps.
        winner_again: the winner is decoded once more, since its clip was not kept.
    """
    decodes = num_scored + int(winner_again)
    looks = Cost(0, decodes, num_scored * num_verifiers, 0.0)
    return total_cost([*rollouts, looks])

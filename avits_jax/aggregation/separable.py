"""Aggregators whose score is a sum of one contribution per verifier."""

from collections.abc import Callable
from dataclasses import dataclass

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from avits_jax.aggregation.checks import check_num_verifiers, split_failed
from avits_jax.types import Aggregator, PyTree, Rewards, Scores

Calibrate = Callable[
    [Float[Array, "N V"], Bool[Array, " N"], PyTree], Float[Array, "N V"]
]
Learn = Callable[[Float[Array, "N V"], Bool[Array, " N"], PyTree], PyTree]


@dataclass(frozen=True)
class SeparableScore:
    """The ``score`` of a separable aggregator, with its terms at hand.

    Attributes:
        contributions: ``(rewards [N, V], state) -> [N, V]``; rows sum to the scores.
    """

    contributions: Callable[[Rewards, PyTree], Rewards]

    def __call__(self, rewards: Rewards, state: PyTree) -> Scores:
        """Return scores ``[N]`` float32, -inf for failed candidates."""
        return jnp.sum(self.contributions(rewards, state), axis=1)


def contributions(aggregator: Aggregator, rewards: Rewards, state: PyTree) -> Rewards:
    """Return what each verifier adds to each candidate's score.

    Args:
        aggregator: one of this package's aggregators.
        rewards: ``[N, V]`` raw rewards.
        state: the aggregator's state.

    Returns:
        ``[N, V]`` float32, weighted and on the aggregator's common scale. Rows sum to
        ``aggregator.score(rewards, state)``; rows of failed candidates are -inf.

    Raises:
        TypeError: the aggregator's score is not a sum over verifiers.
    """
    score = aggregator.score
    if not isinstance(score, SeparableScore):
        raise TypeError(
            "aggregator must come from avits_jax.aggregation to have contributions, "
            f"got one whose score is {score!r}"
        )
    return score.contributions(rewards, state)


def separable(
    weights: np.ndarray,
    *,
    init: Callable[[int], PyTree],
    learn: Learn,
    calibrate: Calibrate,
) -> Aggregator:
    """Build an aggregator with ``score_i = sum_k w_k calibrate(rewards)_ik``.

    ``learn`` and ``calibrate`` get float32 rewards, zero where a candidate failed, and
    the mask of candidates that did not fail.

    Args:
        weights: ``[V]`` float32, as `check_weights` returns them.
        init: ``(num_verifiers) -> state``.
        learn: ``(rewards, valid, state) -> state``.
        calibrate: ``(rewards, valid, state) -> [N, V]``.
    """

    def init_checked(num_verifiers: int) -> PyTree:
        check_num_verifiers(num_verifiers, weights)
        return init(num_verifiers)

    def terms(rewards: Rewards, state: PyTree) -> Rewards:
        rewards, valid = split_failed(rewards, weights.size)
        weighted = weights[None] * calibrate(rewards, valid, state)
        return jnp.where(valid[:, None], weighted, -jnp.inf)

    score = SeparableScore(terms)

    def update(rewards: Rewards, state: PyTree) -> tuple[Scores, PyTree]:
        state = learn(*split_failed(rewards, weights.size), state)
        return score(rewards, state), state

    return Aggregator(init_checked, update, score)

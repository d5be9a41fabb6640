"""Aggregators whose score is a sum of one contribution per verifier."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from avits_jax.aggregation.checks import check_num_verifiers, split_failed
from avits_jax.types import Aggregator, PyTree

# Rewards of one prompt's candidates, or of several prompts'.
ManyRewards = Float[Array, "*P N V"]
ManyScores = Float[Array, "*P N"]

_FAR = 1024.0

Calibrate = Callable[
    [Float[Array, "N V"], Bool[Array, " N"], PyTree], Float[Array, "N V"]
]
Learn = Callable[[ManyRewards, Bool[Array, "*P N"], PyTree], PyTree]


@dataclass(frozen=True)
class SeparableScore:
    """The ``score`` of a separable aggregator, with its terms at hand.

    Attributes:
        contributions: ``(rewards, state) -> terms`` of the same shape, ``[N, V]`` or
            ``[P, N, V]``; their sums over verifiers are the scores.
    """

    contributions: Callable[[ManyRewards, PyTree], ManyRewards]

    def __call__(self, rewards: ManyRewards, state: PyTree) -> ManyScores:
        """Return scores ``[N]`` or ``[P, N]`` float32, -inf for failed candidates."""
        return jnp.sum(self.contributions(rewards, state), axis=-1)


def contributions(
    aggregator: Aggregator, rewards: ManyRewards, state: PyTree
) -> ManyRewards:
    """Return what each verifier adds to each candidate's score.

    Args:
        aggregator: one of this package's aggregators.
        rewards: ``[N, V]`` or ``[P, N, V]`` raw rewards.
        state: the aggregator's state.

    Returns:
        the same shape, float32, weighted and on the aggregator's common scale. Rows sum
        to ``aggregator.score(rewards, state)``; rows of failed candidates are -inf.

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


def preferences(
    aggregator: Aggregator,
    rewards: Float[Array, "N V"],
    state: PyTree,
    scores: Float[Array, " N"],
) -> Float[Array, " N"]:
    """Return numbers to choose candidates by: scores, but for a constant.

    What each verifier adds is measured from the most that it adds to any, so that
    rewards far from zero do not drown the others in the rounding of the sum.

    Args:
        aggregator: any.
        rewards: ``[N, V]`` raw rewards.
        state: the aggregator's state.
        scores: ``[N]`` of these rewards in this state.

    Returns:
        ``[N]`` float32, -inf for failed candidates; ``scores`` themselves, if those of
        the aggregator are no sums over verifiers.
    """
    if not isinstance(aggregator.score, SeparableScore):
        return scores
    terms = contributions(aggregator, rewards, state)
    most = jnp.max(terms, axis=0, keepdims=True)
    return jnp.sum(terms - jnp.where(jnp.isfinite(most), most, 0.0), axis=1)


def near_zero(
    aggregator: Aggregator, rewards: Sequence[Float[Array, "N V"]], state: PyTree
) -> Float[Array, "T N"]:
    """Return the scores of several populations, far offsets taken off all alike.

    What a verifier adds is measured from the most that it adds to any candidate of any
    population, where that is more than 1024 from zero: below it float32 keeps scores to
    6e-5, and they stay as they are.

    Args:
        aggregator: any.
        rewards: T times ``[N, V]`` raw rewards.
        state: the aggregator's state.

    Returns:
        ``[T, N]`` float32, of which differences are those of scores; -inf for failed
        candidates. Scores themselves, if those of the aggregator are no sums over
        verifiers.
    """
    if not isinstance(aggregator.score, SeparableScore):
        return jnp.stack([aggregator.score(each, state) for each in rewards])
    terms = jnp.stack([contributions(aggregator, each, state) for each in rewards])
    most = jnp.max(terms, axis=(0, 1))
    far = jnp.isfinite(most) & (jnp.abs(most) > _FAR)
    return jnp.sum(terms - jnp.where(far, most, 0.0), axis=-1)


def separable(
    weights: np.ndarray,
    *,
    init: Callable[[int], PyTree],
    learn: Learn,
    calibrate: Calibrate,
) -> Aggregator:
    """Build an aggregator with ``score_i = sum_k w_k calibrate(rewards)_ik``.

    ``learn`` and ``calibrate`` get float32 rewards, zero where a candidate failed, and
    the mask of candidates that did not fail. ``learn`` sees all prompts at once,
    ``calibrate`` one at a time: each prompt's candidates are a population of their own.

    Args:
        weights: ``[V]`` float32, as `check_weights` returns them.
        init: ``(num_verifiers) -> state``.
        learn: ``(rewards, valid, state) -> state``; leading axes ``[N]`` or ``[P, N]``.
        calibrate: ``(rewards [N, V], valid [N], state) -> [N, V]``.
    """

    def init_checked(num_verifiers: int) -> PyTree:
        check_num_verifiers(num_verifiers, weights)
        # Leaves of their own buffers: a fresh state can be donated.
        return jax.tree.map(jnp.copy, init(num_verifiers))

    def of_prompt(
        rewards: Float[Array, "N V"], valid: Bool[Array, " N"], state: PyTree
    ) -> Float[Array, "N V"]:
        weighted = weights[None] * calibrate(rewards, valid, state)
        return jnp.where(valid[:, None], weighted, -jnp.inf)

    def terms(rewards: ManyRewards, state: PyTree) -> ManyRewards:
        values, valid = split_failed(rewards, weights.size)
        of_each = jax.vmap(of_prompt, (0, 0, None)) if valid.ndim > 1 else of_prompt
        return of_each(values, valid, state)

    score = SeparableScore(terms)

    def update(rewards: ManyRewards, state: PyTree) -> tuple[ManyScores, PyTree]:
        # A state that was kept on the host holds NumPy arrays.
        state = jax.tree.map(jnp.asarray, state)
        state = learn(*split_failed(rewards, weights.size), state)
        return score(rewards, state), state

    return Aggregator(init_checked, update, score)

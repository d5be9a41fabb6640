"""Score kept rewards again, and choose each prompt's winner, prompt after prompt."""

import functools
from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from avits_jax.aggregation import LARGEST_REWARD, contributions
from avits_jax.aggregation.checks import Column
from avits_jax.aggregation.separable import preferences
from avits_jax.types import Aggregator, PyTree

NOBODY = -1
"""Winner of a prompt without a usable candidate."""

AnyRewards = Float[np.ndarray, "P N V"] | Float[Array, "P N V"]


def choose(
    rewards: AnyRewards, aggregator: Aggregator, columns: Sequence[int]
) -> Int[np.ndarray, " P"]:
    """Choose each prompt's winner by an aggregator that learns from prompt to prompt.

    As `best_of_n` would with these candidates, carrying the state along.

    Args:
        rewards: ``[P, N, V]`` raw rewards in the order of the prompts; a candidate with
            a NaN or infinite one among ``columns`` takes no part.
        aggregator: over as many verifiers as there are columns.
        columns: which verifiers guide.

    Returns:
        ``[P]`` index of the winner, -1 where no candidate is usable.

    Raises:
        ValueError: the aggregator is of another number of verifiers.

    Example:
        >>> choose(np.array([[[1.0, 9.0], [2.0, 0.0]]]), avits.weighted([1.0]), [0])
        array([1], dtype=int32)
    """

    def step(state: PyTree, batch: Array) -> tuple[PyTree, Array]:
        scores, state = aggregator.update(batch, state)
        return state, _winner(preferences(aggregator, batch, state, scores))

    picked = jnp.asarray(np.asarray(rewards, np.float32)[..., list(columns)])
    first = aggregator.init(len(columns))
    return np.asarray(jax.jit(functools.partial(jax.lax.scan, step))(first, picked)[1])


def calibrator(
    aggregator: Aggregator, num_verifiers: int
) -> Callable[[AnyRewards], Float[Array, "P N V"]]:
    """Return a function that puts rewards on an aggregator's scale, prompt by prompt.

    Where the aggregator has weights 1 and treats each verifier alone, as all but
    "lbfgs" do, `pick` chooses from its terms for any weights and subset of verifiers.

    Args:
        aggregator: one of this package's.
        num_verifiers: V.

    Returns:
        ``rewards [P, N, V] -> terms [P, N, V]``: what each verifier adds to each score,
        float32; -inf for candidates with any NaN or infinite reward. Compiled once for
        each shape; every call starts with a fresh state.

    Raises:
        TypeError: when called, if the aggregator's score is not a sum over verifiers.
        ValueError: the aggregator is of another number of verifiers.
    """

    def step(state: PyTree, batch: Array) -> tuple[PyTree, Array]:
        _, state = aggregator.update(batch, state)
        return state, contributions(aggregator, batch, state)

    first = aggregator.init(num_verifiers)
    scan = jax.jit(functools.partial(jax.lax.scan, step))
    return lambda rewards: scan(first, jnp.asarray(rewards))[1]


def pick(terms: Float[Array, "P N V"], weights: Column) -> Int[np.ndarray, " P"]:
    """Choose each prompt's winner by a weighted sum of calibrated rewards.

    Args:
        terms: of a `calibrator`.
        weights: ``[V]`` of at least zero, not all zero; a verifier of weight 0 does not
            guide.

    Returns:
        ``[P]`` index of the winner, -1 where no candidate is usable.
    """
    return np.asarray(_pick(terms, jnp.asarray(weights, jnp.float32)))


def usable(rewards: AnyRewards) -> Bool[np.ndarray, "P N"]:
    """Tell which candidates every verifier gave a reward that can be learned from.

    Args:
        rewards: ``[P, N, V]``; NaN also marks candidates that are not there.
    """
    within = np.abs(np.asarray(rewards)) <= LARGEST_REWARD  # NaN compares as False
    return np.logical_and.reduce(within, axis=-1)


def first_candidates(rewards: AnyRewards, count: int) -> Float[np.ndarray, "P N V"]:
    """Return rewards in which only each prompt's first candidates are there.

    Args:
        rewards: ``[P, N, V]``.
        count: how many stay; the others become NaN, which all statistics leave out.
    """
    rewards = np.asarray(rewards)
    stays = np.arange(rewards.shape[1]) < count
    return np.where(stays[:, None], rewards, np.nan).astype(rewards.dtype)


@jax.jit
def _pick(terms: Float[Array, "P N V"], weights: Float[Array, " V"]) -> Array:
    guided = jnp.where(weights > 0, weights * terms, 0.0)
    # As `preferences` does, so that ties fall as they do in a search.
    most = jnp.max(guided, axis=1, keepdims=True)
    scores = jnp.sum(guided - jnp.where(jnp.isfinite(most), most, 0.0), axis=-1)
    return jax.vmap(_winner)(scores)


def _winner(scores: Float[Array, " N"]) -> Int[Array, ""]:
    best = jnp.argmax(scores).astype(jnp.int32)
    return jnp.where(scores[best] > -jnp.inf, best, NOBODY)

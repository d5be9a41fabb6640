"""Choose and move candidates.

Inside a population, selection gathers latents (`take`). The final winner is taken by
masking and summing (`pick`): on a candidate axis that is spread over devices this is
one all-reduce of the winner, where ``x[argmax(scores)]`` would gather everything.
"""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Int

from avits_jax.aggregation.checks import LARGEST_REWARD
from avits_jax.types import PyTree, Rewards, Scores


def failed_candidates(rewards: Rewards) -> Bool[Array, " N"]:
    """Return True for every candidate with a reward that is NaN, infinite or outlying.

    An outlier is what `avits_jax.aggregation.count_outliers` counts.
    """
    return ~(jnp.abs(rewards) <= LARGEST_REWARD).all(axis=1)


def rankable(scores: Scores) -> Scores:
    """Return `scores` with NaN as -inf, since argmax and top_k pick NaN first."""
    return jnp.where(jnp.isnan(scores), -jnp.inf, scores)


def best_index(scores: Scores) -> Int[Array, ""]:
    """Return the index of the highest score; -1 if all are -inf or NaN.

    Of equal scores the first wins.
    """
    scores = rankable(scores)
    index = jnp.argmax(scores).astype(jnp.int32)
    return jnp.where(jnp.max(scores) > -jnp.inf, index, jnp.int32(-1))


def pick(tree: PyTree, index: Int[Array, ""]) -> PyTree:
    """Return one candidate, without the candidate axis; zeros for index -1.

    The others are masked before the sum, since 0 x NaN is NaN.

    Args:
        tree: tree of ``[N, ...]`` arrays (typed keys included).
        index: int32 candidate, or -1.
    """

    def one(leaf: Array) -> Array:
        if jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key):
            data = one(jax.random.key_data(leaf))
            return jax.random.wrap_key_data(data, impl=jax.random.key_impl(leaf))
        chosen = jnp.arange(leaf.shape[0], dtype=jnp.int32) == index
        chosen = chosen.reshape((-1,) + (1,) * (leaf.ndim - 1))
        masked = jnp.where(chosen, leaf, jnp.zeros_like(leaf))
        return masked.sum(axis=0, dtype=leaf.dtype)

    return jax.tree.map(one, tree)


def take(tree: PyTree, indices: Int[Array, " M"]) -> PyTree:
    """Return candidates `indices` of a tree of ``[N, ...]`` arrays, in that order."""
    return jax.tree.map(lambda leaf: leaf[indices], tree)


def take_from(blocks: Sequence[PyTree], indices: Int[Array, " M"]) -> PyTree:
    """Return candidates by their number in several populations, counted in a row.

    The populations are not joined first: a join of arrays that are spread over devices
    would gather all of them, where only those taken need to move.

    Args:
        blocks: trees of ``[N_b, ...]`` arrays.
        indices: ``[M]`` candidates, in [0, sum of N_b).

    Returns:
        A tree of ``[M, ...]`` arrays.
    """
    taken, first = take(blocks[0], jnp.clip(indices, 0, _size(blocks[0]) - 1)), 0
    for block, before in zip(blocks[1:], blocks, strict=False):
        first += _size(before)
        local = jnp.clip(indices - first, 0, _size(block) - 1)
        taken = _where(indices >= first, take(block, local), taken)
    return taken


def pick_from(blocks: Sequence[PyTree], index: Int[Array, ""]) -> PyTree:
    """Return one candidate by its number in several populations, see `pick`."""
    picked, first = pick(blocks[0], index), 0
    for block, before in zip(blocks[1:], blocks, strict=False):
        first += _size(before)
        picked = _where(index >= first, pick(block, index - first), picked)
    return picked


def concatenate(trees: Sequence[PyTree]) -> PyTree:
    """Join trees of ``[N_b, ...]`` arrays along the candidate axis."""
    return jax.tree.map(lambda *leaves: jnp.concatenate(leaves), *trees)


def _size(tree: PyTree) -> int:
    return jax.tree.leaves(tree)[0].shape[0]


def _where(condition: Bool[Array, "*M"], new: PyTree, old: PyTree) -> PyTree:
    def choose(a: Array, b: Array) -> Array:
        shape = condition.shape + (1,) * (a.ndim - condition.ndim)
        return jnp.where(condition.reshape(shape), a, b)

    return jax.tree.map(choose, new, old)

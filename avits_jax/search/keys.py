"""Which random number goes where.

Candidate ``n`` of the first population starts from ``fold_in(key, n)``. Everything else
a search draws comes from streams that count down from the top of the uint32 range, so
that no stream ever meets a candidate: ``fold_in(key, 2**32 - 1 - stream)``, then, where
it applies, the round (generation, iteration or step), then the candidate's slot.
No draw depends on the population's size or on how it is chunked.
"""

from enum import IntEnum

import jax
import jax.numpy as jnp
from jaxtyping import Array, Int, Key

from avits_jax.types import Keys

SearchKey = Key[Array, ""]


class Stream(IntEnum):
    """Independent sources of randomness within one search."""

    STEPS = 0
    SELECTION = 1
    MUTATION = 2
    REFINEMENT = 3


def candidate_keys(
    key: SearchKey, num_candidates: int, first: int | Int[Array, ""] = 0
) -> Keys:
    """Return ``fold_in(key, n)`` for every candidate ``n``.

    Args:
        key: typed key.
        num_candidates: number of candidates N.
        first: number of the first one, static or traced, at least 0.

    Returns:
        ``[N]`` typed keys.
    """
    slots = jnp.arange(num_candidates, dtype=jnp.uint32) + jnp.uint32(first)
    return jax.vmap(jax.random.fold_in, (None, 0))(key, slots)


def stream_key(key: SearchKey, stream: Stream, index: int | Array = 0) -> SearchKey:
    """Return the key of one stream in one round.

    Args:
        key: the search's key.
        stream: what the draw is for.
        index: round, static or traced, at least 0.

    Returns:
        A typed key that no candidate and no other stream or round uses.
    """
    top = jnp.uint32(2**32 - 1 - int(stream))
    return jax.random.fold_in(jax.random.fold_in(key, top), index)

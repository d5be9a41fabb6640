"""Merge what the shards of a run have learned."""

import functools
import operator
from collections.abc import Sequence

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from avits_jax.aggregation.arw import ArwState, ClosedForm, best_log_vars, select
from avits_jax.aggregation.moments import Moments, merge_moments, remove_moments


def arw_merge(*states: ArwState, shared: ArwState | None = None) -> ArwState:
    """Merge what shards have learned.

    The moments are those of all shards' rewards together, exactly, in any order or
    grouping. The weights are the shards' ``log_vars`` averaged by their counts, or
    recomputed for "closed_form". The optimiser's state is that of the shard with most
    rewards (the first on ties): its parts belong together, so they are not averaged.

    Args:
        states: one of each shard, of the same aggregator; at least one.
        shared: the state that all started from, if it already held rewards or a prior;
            these would otherwise count more than once.

    Returns:
        a state like ``states[0]``.

    Raises:
        TypeError: an argument is not a state of `arw`.
        ValueError: there is no state, or one has another structure or other shapes.
    """
    # States that were kept on the host hold NumPy arrays.
    states, shared = jax.tree.map(jnp.asarray, (states, shared))
    if not states:
        raise ValueError("arw_merge needs at least one state, got none")
    for n, state in enumerate(states):
        _check_alike(f"states[{n}]", state, states[0])
    if shared is not None:
        _check_alike("shared", shared, states[0])
    moments = states[0].moments
    for state in states[1:]:
        moments = merge_moments(moments, _own_moments(state, shared))
    return ArwState(
        log_vars=_merge_log_vars(states, moments),
        moments=moments,
        opt_state=functools.reduce(_longer, states).opt_state,
    )


def _own_moments(state: ArwState, shared: ArwState | None) -> Moments:
    """Return the moments of what a shard has seen beyond ``shared``."""
    if shared is None:
        return state.moments
    return remove_moments(state.moments, shared.moments)


def _merge_log_vars(states: Sequence[ArwState], moments: Moments) -> Float[Array, " V"]:
    """Return the closed form for ``moments``, or the average by counts."""
    if isinstance(states[0].opt_state, ClosedForm):
        known = moments.num_rewards > 1
        return jnp.where(known, best_log_vars(moments), states[0].log_vars)
    counts = [state.moments.num_rewards.astype(jnp.float32) for state in states]
    total = functools.reduce(operator.add, counts)
    shares = [
        jnp.where(total > 0, count / jnp.maximum(total, 1.0), 1.0 / len(states))
        for count in counts
    ]
    parts = [share * s.log_vars for share, s in zip(shares, states, strict=True)]
    return functools.reduce(operator.add, parts)


def _longer(a: ArwState, b: ArwState) -> ArwState:
    """Return the state that has seen more rewards, ``a`` on ties."""
    first = (a.moments.num_rewards >= b.moments.num_rewards).all()
    return select(first, a, b)


def _check_alike(name: str, state: ArwState, first: ArwState) -> None:
    """Raise unless ``state`` has the structure and shapes of ``first``."""
    if not isinstance(state, ArwState):
        raise TypeError(f"{name} must be an ArwState, got {type(state).__name__}")
    kinds = [
        (jax.tree.structure(s), [jnp.shape(x) for x in jax.tree.leaves(s)])
        for s in (state, first)
    ]
    if kinds[0] != kinds[1]:
        raise ValueError(
            f"{name} must be a state of the same aggregator as states[0]: "
            f"got {kinds[0]}, accepted {kinds[1]}"
        )

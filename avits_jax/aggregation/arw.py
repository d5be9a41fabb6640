"""Adaptive reward weighting (ARW): learn each verifier's scale while searching.

"Inference-Time Scaling for Joint Audio-Video Generation" (arXiv 2606.03183); upstream
``AdaptiveRewardWeighter`` in kaistmm/ITS-AVGen, ``javisdit/schedulers/rf/__init__.py``.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Bool, Float, Int

from avits_jax.aggregation.checks import (
    Column,
    check_choice,
    check_column,
    check_count,
    check_positive,
    check_positive_column,
    check_weights,
)
from avits_jax.aggregation.moments import (
    Moments,
    batch_moments,
    empty_moments,
    merge_moments,
    remove_moments,
    variance,
)
from avits_jax.aggregation.optimizers import Optimizer, make_optimizer
from avits_jax.aggregation.separable import separable
from avits_jax.types import Aggregator, PyTree

_EPS = 1e-6


class ArwState(NamedTuple):
    """What ARW has learned.

    Attributes:
        log_vars: ``[V]`` float32, ``s_k``, the log of each verifier's learned variance.
        moments: running moments of the rewards (of their deviations from each call's
            mean with ``center="prompt"``).
        opt_state: the optimiser's state, carried from call to call.
    """

    log_vars: Float[Array, " V"]
    moments: Moments
    opt_state: PyTree


class ClosedForm(NamedTuple):
    """Optimiser state of ``"closed_form"``: nothing, but recognisable."""


def arw(
    weights: Column,
    optimizer: str | optax.GradientTransformation = "adam",
    learning_rate: float = 0.05,
    num_steps: int = 5,
    center: str = "pooled",
    *,
    prior_mean: Column | None = None,
    prior_std: Column | None = None,
    prior_count: int = 100,
) -> Aggregator:
    """Build adaptive reward weighting.

    Each ``update`` adds the rewards to the running moments and takes ``num_steps``
    optimiser steps on ``sum_k 0.5 exp(-s_k) (var_k + 1e-6) + 0.5 s_k``, the original's
    mean over all rewards seen so far; then
    ``score_i = sum_k w_k r_ik / (exp(s_k / 2) + 1e-6)``.

    Unlike upstream: the history is a count, a mean and a sum of squares, with the same
    numbers; a candidate with a NaN or infinite reward is left out and scored -inf; a
    call in which all fail, or whose result would not be finite, changes nothing. As
    upstream, nothing is fitted before two rewards are known.

    Args:
        weights: ``[V]``, finite, non-negative, not all zero.
        optimizer: "adam", "adamw", "rmsprop", "sgd" (momentum 0.9), "adagrad" or
            "lbfgs" (at most 5 iterations a step, strong Wolfe), with PyTorch's
            defaults; "closed_form", the minimum ``s = log(var + 1e-6)`` itself; or any
            optax transformation, updated once a step.
        learning_rate: above 0; unused by "closed_form" and by a transformation.
        num_steps: optimiser steps per update, at least 1; unused by "closed_form".
        center: "pooled" measures deviations from the mean of all rewards (the
            original); "prompt" from the mean of each call, so that differences in
            difficulty between prompts do not count as noise. A call with one candidate
            then says nothing about spread and is not counted.
        prior_mean: ``[V]`` known means to start from; with ``prior_std``, and with
            ``center="pooled"`` only.
        prior_std: ``[V]`` known positive standard deviations; ``log_vars`` start at
            their minimum for it instead of 0.
        prior_count: how many rewards the prior is worth, at least 1.

    Raises:
        TypeError: an argument of the wrong type.
        ValueError: an argument out of range or of the wrong length, an unknown
            optimiser or center, or half a prior.

    Example:
        >>> aggregator = arw([0.5, 0.5])
        >>> state = aggregator.init(2)
        >>> scores, state = aggregator.update(jnp.eye(3, 2), state)
        >>> state.log_vars.shape
        (2,)
    """
    column = check_weights(weights)
    fitter = make_optimizer(optimizer, check_positive("learning_rate", learning_rate))
    steps = check_count("num_steps", num_steps)
    check_choice("center", center, ("pooled", "prompt"))
    check_count("prior_count", prior_count)
    prior = _check_prior(column.size, center, prior_mean, prior_std)

    def init(num_verifiers: int) -> ArwState:
        if prior is None:
            moments = empty_moments(num_verifiers)
            log_vars = jnp.zeros(num_verifiers, jnp.float32)
        else:
            level, spread = (jnp.asarray(x) for x in prior)
            num_rewards = jnp.full(num_verifiers, prior_count, jnp.int32)
            m2 = jnp.square(spread) * jnp.float32(prior_count)
            moments = Moments(num_rewards, level, m2)
            log_vars = _best_log_vars(moments)
        opt_state = ClosedForm() if fitter is None else fitter.init(log_vars)
        return ArwState(log_vars, moments, opt_state)

    def learn(
        rewards: Float[Array, "N V"], valid: Bool[Array, " N"], state: ArwState
    ) -> ArwState:
        batch = batch_moments(rewards, valid)
        if center == "prompt":
            batch = _around_own_mean(batch)
        moments = merge_moments(state.moments, batch)
        fitted = _fit(fitter, steps, state, moments)
        seen = valid.any() & _all_finite(moments)
        learned = seen & (moments.num_rewards > 1).all() & _all_finite(fitted.log_vars)
        return ArwState(
            log_vars=_select(learned, fitted.log_vars, state.log_vars),
            moments=_select(seen, moments, state.moments),
            opt_state=_select(learned, fitted.opt_state, state.opt_state),
        )

    def calibrate(
        rewards: Float[Array, "N V"], valid: Bool[Array, " N"], state: ArwState
    ) -> Float[Array, "N V"]:
        return rewards / (sigmas(state) + _EPS)[None]

    return separable(column, init=init, learn=learn, calibrate=calibrate)


def sigmas(state: ArwState) -> Float[Array, " V"]:
    """Return each verifier's learned standard deviation ``exp(s_k / 2)``.

    Args:
        state: of `arw`.

    Returns:
        ``[V]`` float32, in units of each verifier's reward.
    """
    return jnp.exp(0.5 * state.log_vars)


def arw_merge(a: ArwState, b: ArwState, *, shared: ArwState | None = None) -> ArwState:
    """Merge what two shards have learned.

    The moments are those of both shards' rewards together, exactly. The weights are
    the shards' ``log_vars`` averaged by their counts, or recomputed for "closed_form".
    The optimiser's state is that of the shard with more rewards (``a`` on ties): its
    parts belong together, so they are not averaged.

    Args:
        a: state of one shard.
        b: state of another, of the same aggregator.
        shared: the state that both started from, if it already held rewards or a
            prior; these would otherwise count twice.

    Returns:
        a state like ``a``.

    Raises:
        ValueError: the states have different structures or shapes.
    """
    _check_alike(a, b, "b")
    own = b.moments
    if shared is not None:
        _check_alike(a, shared, "shared")
        own = remove_moments(own, shared.moments)
    moments = merge_moments(a.moments, own)
    if isinstance(a.opt_state, ClosedForm):
        known = moments.num_rewards > 1
        return ArwState(
            jnp.where(known, _best_log_vars(moments), a.log_vars), moments, a.opt_state
        )
    total = (a.moments.num_rewards + b.moments.num_rewards).astype(jnp.float32)
    part = a.moments.num_rewards.astype(jnp.float32) / jnp.maximum(total, 1.0)
    share = jnp.where(total > 0, part, 0.5)
    first = (a.moments.num_rewards >= b.moments.num_rewards).all()
    return ArwState(
        log_vars=share * a.log_vars + (1.0 - share) * b.log_vars,
        moments=moments,
        opt_state=_select(first, a.opt_state, b.opt_state),
    )


def _fit(
    optimizer: Optimizer | None, num_steps: int, state: ArwState, moments: Moments
) -> ArwState:
    """Move ``log_vars`` towards the minimum of the loss for these moments."""
    if optimizer is None:
        return state._replace(log_vars=_best_log_vars(moments))
    target = variance(moments) + _EPS

    def loss(log_vars: Float[Array, " V"]) -> Float[Array, ""]:
        return jnp.sum(0.5 * jnp.exp(-log_vars) * target + 0.5 * log_vars)

    def body(
        _: Int[Array, ""], carry: tuple[Float[Array, " V"], PyTree]
    ) -> tuple[Float[Array, " V"], PyTree]:
        return optimizer.step(loss, *carry)

    log_vars, opt_state = jax.lax.fori_loop(
        0, num_steps, body, (state.log_vars, state.opt_state)
    )
    return state._replace(log_vars=log_vars, opt_state=opt_state)


def _best_log_vars(moments: Moments) -> Float[Array, " V"]:
    """Return the minimum of the loss."""
    return jnp.log(variance(moments) + _EPS)


def _around_own_mean(batch: Moments) -> Moments:
    """Return the moments of a call's deviations from its mean.

    Their mean is 0 for every call, so that merging has no term between calls.
    """
    return Moments(
        jnp.where(batch.num_rewards > 1, batch.num_rewards, 0),
        jnp.zeros_like(batch.mean),
        batch.m2,
    )


def _check_prior(
    num_verifiers: int,
    center: str,
    mean: Column | None,
    std: Column | None,
) -> tuple[np.ndarray, np.ndarray] | None:
    """Return the prior's mean and std, ``[V]`` each, or None without a prior."""
    if center == "prompt" and mean is not None:
        raise ValueError(
            "prior_mean has no meaning with center='prompt', which measures from each "
            f"call's own mean; give prior_std alone, got {mean!r}"
        )
    if std is None:
        if mean is not None:
            raise ValueError("prior_mean needs prior_std, got None for it")
        return None
    if mean is None and center == "pooled":
        raise ValueError("prior_std needs prior_mean with center='pooled', got None")
    spread = check_positive_column("prior_std", std, num_verifiers)
    level = np.zeros_like(spread)
    if mean is not None:
        level = check_column("prior_mean", mean, num_verifiers)
    return level, spread


def _check_alike(a: ArwState, b: ArwState, name: str) -> None:
    """Raise ValueError unless both states have the same structure and shapes."""
    kinds = [
        (jax.tree.structure(s), [jnp.shape(x) for x in jax.tree.leaves(s)])
        for s in (a, b)
    ]
    if kinds[0] != kinds[1]:
        raise ValueError(
            f"{name} must be a state of the same aggregator as a: "
            f"got {kinds[1]}, accepted {kinds[0]}"
        )


def _all_finite(tree: PyTree) -> Bool[Array, ""]:
    """Tell whether every number of a tree is finite."""
    flags = [jnp.isfinite(x).all() for x in jax.tree.leaves(tree)]
    return jnp.stack(flags).all()


def _select(condition: Bool[Array, ""], a: PyTree, b: PyTree) -> PyTree:
    """Return tree ``a`` where the condition holds, else ``b``."""
    return jax.tree.map(lambda x, y: jnp.where(condition, x, y), a, b)

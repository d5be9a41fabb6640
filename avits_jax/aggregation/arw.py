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

from avits_jax.aggregation.carries import alike
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
    AxisName,
    Moments,
    batch_moments,
    centered_moments,
    empty_moments,
    merge_moments,
    moments_over_axis,
    variance,
)
from avits_jax.aggregation.optimizers import Optimizer, make_optimizer
from avits_jax.aggregation.separable import ManyRewards, separable
from avits_jax.aggregation.serialization import exportable
from avits_jax.types import Aggregator, PyTree

_EPS = 1e-6
# How far a fit may leave the minimum: a factor of 7.4 in a verifier's deviation.
_FARTHEST = 4.0


@exportable
class ArwState(NamedTuple):
    """What ARW has learned.

    Attributes:
        log_vars: ``[V]`` float32, ``s_k``, the log of each verifier's learned variance.
        moments: running moments of the rewards (of their deviations from each prompt's
            mean with ``center="prompt"``).
        opt_state: the optimiser's state, carried from call to call.
    """

    log_vars: Float[Array, " V"]
    moments: Moments
    opt_state: PyTree


@exportable
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
    axis_name: AxisName | None = None,
) -> Aggregator:
    """Build adaptive reward weighting.

    Each ``update`` adds the rewards to the running moments and takes ``num_steps``
    optimiser steps on ``sum_k 0.5 exp(-s_k) (var_k + 1e-6) + 0.5 s_k``, the original's
    mean over all rewards seen so far; then
    ``score_i = sum_k w_k r_ik / (exp(s_k / 2) + 1e-6)``.

    Unlike upstream: the history is a count, a mean and a sum of squares, with the same
    numbers; a candidate with a NaN or infinite reward, or one beyond `LARGEST_REWARD`,
    is left out and scored -inf; a call in which all are changes nothing. Where a fit
    diverges (a step of "sgd" grows with the variance), that is ends farther from the
    minimum than it began and farther than 4, the verifier takes the minimum itself, and
    the optimiser its state of before. As upstream, nothing is fitted before two rewards
    are known. The state is float32 whatever the rewards are.

    Args:
        weights: ``[V]``, finite, non-negative, not all zero.
        optimizer: "adam", "adamw", "rmsprop", "sgd" (momentum 0.9), "adagrad" or
            "lbfgs" (at most 5 iterations a step, strong Wolfe), with PyTorch's
            defaults; "closed_form", the minimum ``s = log(var + 1e-6)`` itself; or any
            optax transformation, updated once a step on gradients within 1e15.
        learning_rate: above 0; unused by "closed_form" and by a transformation.
        num_steps: optimiser steps per update, at least 1; unused by "closed_form".
        center: "pooled" measures deviations from the mean of all rewards (the
            original); "prompt" from the mean of each prompt, so that differences in
            difficulty between prompts do not count as noise. A prompt with one
            candidate then says nothing about spread and is not counted.
        prior_mean: ``[V]`` known means to start from; with ``prior_std``, and with
            ``center="pooled"`` only.
        prior_std: ``[V]`` known positive standard deviations; ``log_vars`` start at
            their minimum for it instead of 0.
        prior_count: how many rewards the prior is worth, at least 1.
        axis_name: a mapped axis (of `jax.vmap`, `jax.pmap` or `jax.shard_map`), or
            several: ``update`` then learns from the candidates of all its shards, which
            end with the same state, and scores those of its own.

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
            log_vars = best_log_vars(moments)
        opt_state = ClosedForm() if fitter is None else fitter.init(log_vars)
        return ArwState(log_vars, moments, opt_state)

    def learn(
        rewards: ManyRewards, valid: Bool[Array, "*P N"], state: ArwState
    ) -> ArwState:
        measure = batch_moments if center == "pooled" else centered_moments
        batch = moments_over_axis(measure(rewards, valid), axis_name)
        moments = merge_moments(state.moments, batch)
        fitted = _held(_fit(fitter, steps, state, moments), state, moments)
        known = (batch.num_rewards > 0) & (moments.num_rewards > 1)
        log_vars, opt_state = select(
            known.all(), fitted, (state.log_vars, state.opt_state)
        )
        return ArwState(log_vars, moments, opt_state)

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


def _fit(
    optimizer: Optimizer | None, num_steps: int, state: ArwState, moments: Moments
) -> ArwState:
    """Move ``log_vars`` towards the minimum of the loss for these moments."""
    if optimizer is None:
        return state._replace(log_vars=best_log_vars(moments))
    target = variance(moments) + _EPS

    def loss(log_vars: Float[Array, " V"]) -> Float[Array, ""]:
        return jnp.sum(0.5 * jnp.exp(-log_vars) * target + 0.5 * log_vars)

    def body(
        _: Int[Array, ""], carry: tuple[Float[Array, " V"], PyTree]
    ) -> tuple[Float[Array, " V"], PyTree]:
        return optimizer.step(loss, *carry)

    start = alike((state.log_vars, state.opt_state), target)
    log_vars, opt_state = jax.lax.fori_loop(0, num_steps, body, start)
    return state._replace(log_vars=log_vars, opt_state=opt_state)


def best_log_vars(moments: Moments) -> Float[Array, " V"]:
    """Return the minimum of the loss."""
    return jnp.log(variance(moments) + _EPS)


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


def _held(
    fitted: ArwState, before: ArwState, moments: Moments
) -> tuple[Float[Array, " V"], PyTree]:
    """Return log variances and the optimiser's state, without what diverged."""
    best = best_log_vars(moments)
    distance = jnp.abs(before.log_vars - best)
    # NaN compares as False.
    near = jnp.abs(fitted.log_vars - best) <= jnp.maximum(distance, _FARTHEST)
    usable = near.all()
    leaves = (jax.tree.leaves(state.opt_state) for state in (fitted, before))
    for new, old in zip(*leaves, strict=True):
        if jnp.issubdtype(new.dtype, jnp.inexact):
            # Some optimisers begin with an infinite best loss.
            usable &= (jnp.isfinite(new) | ~jnp.isfinite(old)).all()
    opt_state = select(usable, fitted.opt_state, before.opt_state)
    return jnp.where(near, fitted.log_vars, best), opt_state


def select(condition: Bool[Array, ""], a: PyTree, b: PyTree) -> PyTree:
    """Return tree ``a`` where the condition holds, else ``b``."""
    return jax.tree.map(lambda x, y: jnp.where(condition, x, y), a, b)

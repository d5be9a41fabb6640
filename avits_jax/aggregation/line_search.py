"""Line search for the strong Wolfe conditions.

Nocedal and Wright, "Numerical Optimization" (2006), algorithms 3.5 and 3.6, with the
interpolation, safeguards and limits of ``torch.optim.LBFGS``
(``line_search_fn="strong_wolfe"``), as bounded loops over a fixed-shape state.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from avits_jax.aggregation.carries import alike

_ARMIJO = 1e-4
_CURVATURE = 0.9
_MIN_WIDTH = 1e-9


class Trial(NamedTuple):
    """One point of the search.

    Attributes:
        step: distance along the direction.
        loss: loss there.
        slope: derivative of the loss along the direction there.
        grad: ``[V]`` gradient there.
    """

    step: Float[Array, ""]
    loss: Float[Array, ""]
    slope: Float[Array, ""]
    grad: Float[Array, " V"]


class _Bracketing(NamedTuple):
    num_trials: Int[Array, ""]
    previous: Trial
    current: Trial
    found: Bool[Array, ""]
    satisfied: Bool[Array, ""]


class _Zoom(NamedTuple):
    num_trials: Int[Array, ""]
    low: Trial
    high: Trial
    stalled: Bool[Array, ""]
    done: Bool[Array, ""]


def strong_wolfe(
    evaluate: Callable[[Float[Array, ""]], Trial],
    start: Trial,
    step: Float[Array, ""],
    scale: Float[Array, ""],
    active: Bool[Array, ""],
    max_trials: Int[Array, ""],
) -> tuple[Trial, Int[Array, ""]]:
    """Find a step that lowers the loss and flattens its slope.

    Args:
        evaluate: ``step -> Trial``.
        start: the trial at step 0; its slope is negative.
        step: the first step to try.
        scale: largest absolute entry of the direction; brackets narrower than 1e-9
            over it are not searched further.
        active: False skips the search (its result is then meaningless).
        max_trials: how many steps to try after the first, int32.

    Returns:
        the best trial, and how many evaluations were spent (int32).
    """
    bracketed = _bracket(evaluate, start, step, active, max_trials)
    exhausted = ~bracketed.found
    first = _select(exhausted, start, bracketed.previous)
    second = bracketed.current
    low, high = _order(first, second)
    low = _select(bracketed.satisfied, second, low)
    zoom = _Zoom(
        num_trials=bracketed.num_trials,
        low=low,
        high=high,
        stalled=jnp.asarray(False),
        done=bracketed.satisfied | exhausted | ~active,
    )
    zoom = _zoom(evaluate, start, scale, max_trials, zoom)
    return zoom.low, zoom.num_trials + 1


def _bracket(
    evaluate: Callable[[Float[Array, ""]], Trial],
    start: Trial,
    step: Float[Array, ""],
    active: Bool[Array, ""],
    max_trials: Int[Array, ""],
) -> _Bracketing:
    """Lengthen the step until an interval must hold a Wolfe point."""

    def unfinished(carry: _Bracketing) -> Bool[Array, ""]:
        return active & ~carry.found & (carry.num_trials < max_trials)

    def body(carry: _Bracketing) -> _Bracketing:
        previous, current = carry.previous, carry.current
        worse = _too_high(start, current) | (
            (carry.num_trials > 1) & (current.loss >= previous.loss)
        )
        satisfied = ~worse & _flat_enough(start, current)
        found = worse | satisfied | (current.slope >= 0)
        longer = _interpolate(
            previous,
            current,
            current.step + 0.01 * (current.step - previous.step),
            current.step * 10.0,
        )
        return _Bracketing(
            num_trials=carry.num_trials + jnp.where(found, 0, 1),
            previous=_select(found, previous, current),
            current=_select(found, current, evaluate(longer)),
            found=found,
            satisfied=satisfied,
        )

    no = jnp.asarray(False)
    count = jnp.asarray(0, jnp.int32)
    first = _Bracketing(count, start, evaluate(step), no, no)
    return jax.lax.while_loop(unfinished, body, alike(first, (active, max_trials)))


def _zoom(
    evaluate: Callable[[Float[Array, ""]], Trial],
    start: Trial,
    scale: Float[Array, ""],
    max_trials: Int[Array, ""],
    zoom: _Zoom,
) -> _Zoom:
    """Shrink the interval until its lower end satisfies the Wolfe conditions."""

    def unfinished(carry: _Zoom) -> Bool[Array, ""]:
        width = jnp.abs(carry.high.step - carry.low.step) * scale
        return ~carry.done & (carry.num_trials < max_trials) & ~(width < _MIN_WIDTH)

    def body(carry: _Zoom) -> _Zoom:
        low, high = carry.low, carry.high
        step, stalled = _inner_step(low, high, carry.stalled)
        trial = evaluate(step)
        worse = _too_high(start, trial) | ~(trial.loss < low.loss)
        satisfied = ~worse & _flat_enough(start, trial)
        turned = trial.slope * (high.step - low.step) >= 0
        # Better: the trial is the low end; if the slope turned, the old one the high.
        better_high = _select(turned & ~satisfied, low, high)
        worse_low, worse_high = _order(low, trial)
        return _Zoom(
            num_trials=carry.num_trials + 1,
            low=_select(worse, worse_low, trial),
            high=_select(worse, worse_high, better_high),
            stalled=stalled,
            done=satisfied,
        )

    return jax.lax.while_loop(unfinished, body, alike(zoom, (start, scale, max_trials)))


def _inner_step(
    low: Trial, high: Trial, stalled: Bool[Array, ""]
) -> tuple[Float[Array, ""], Bool[Array, ""]]:
    """Interpolate inside the bracket, away from its ends when progress stalls."""
    left = jnp.minimum(low.step, high.step)
    right = jnp.maximum(low.step, high.step)
    step = _interpolate(low, high, left, right)
    margin = 0.1 * (right - left)
    close = jnp.minimum(right - step, step - left) < margin
    outside = (step >= right) | (step <= left)
    move = close & (stalled | outside)
    nearer_right = jnp.abs(step - right) < jnp.abs(step - left)
    moved = jnp.where(nearer_right, right - margin, left + margin)
    return jnp.where(move, moved, step), close & ~move


def _interpolate(
    a: Trial, b: Trial, lower: Float[Array, ""], upper: Float[Array, ""]
) -> Float[Array, ""]:
    """Return the minimum of the cubic through two trials, clipped; else the middle."""
    d1 = a.slope + b.slope - 3.0 * (a.loss - b.loss) / (a.step - b.step)
    square = d1 * d1 - a.slope * b.slope
    d2 = jnp.sign(b.step - a.step) * jnp.sqrt(jnp.maximum(square, 0.0))
    fraction = (b.slope + d2 - d1) / (b.slope - a.slope + 2.0 * d2)
    step = b.step - (b.step - a.step) * fraction
    usable = (square >= 0) & jnp.isfinite(step)
    return jnp.where(usable, jnp.clip(step, lower, upper), 0.5 * (lower + upper))


def _too_high(start: Trial, trial: Trial) -> Bool[Array, ""]:
    """Tell whether a trial lacks the Armijo decrease (or its loss is not finite)."""
    return ~(trial.loss <= start.loss + _ARMIJO * trial.step * start.slope)


def _flat_enough(start: Trial, trial: Trial) -> Bool[Array, ""]:
    """Tell whether a trial meets the strong curvature condition."""
    return jnp.abs(trial.slope) <= -_CURVATURE * start.slope


def _order(a: Trial, b: Trial) -> tuple[Trial, Trial]:
    """Return both trials, the one of lower loss first (``a`` on ties or NaN)."""
    swap = b.loss < a.loss
    return _select(swap, b, a), _select(swap, a, b)


def _select(condition: Bool[Array, ""], a: Trial, b: Trial) -> Trial:
    """Return ``a`` where the condition holds, else ``b``."""
    return jax.tree.map(lambda x, y: jnp.where(condition, x, y), a, b)

"""L-BFGS with the semantics of ``torch.optim.LBFGS``, in fixed shapes.

Upstream (kaistmm/ITS-AVGen, ``javisdit/schedulers/rf/__init__.py``) fits its weights
with ``max_iter=5``, ``history_size=10`` and the strong Wolfe line search; so does this.
The trials of a line search count against the evaluations of a step, as in torch 2.13
(older ones allow 25 in each search). Curvature pairs, the last direction and gradient
persist between calls although the loss changes with every new reward, as there.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from avits_jax.aggregation.carries import alike
from avits_jax.aggregation.line_search import Trial, strong_wolfe
from avits_jax.aggregation.serialization import exportable

_MAX_ITERATIONS = 5
_MAX_EVALUATIONS = _MAX_ITERATIONS * 5 // 4
_HISTORY = 10
_TOLERANCE_GRAD = 1e-7
_TOLERANCE_CHANGE = 1e-9
_MIN_CURVATURE = 1e-10


@exportable
class LbfgsState(NamedTuple):
    """What L-BFGS remembers.

    Attributes:
        num_iterations: int32, iterations so far.
        direction: ``[V]``, the last search direction.
        step_size: the last step along it.
        grad: ``[V]``, gradient where the last iteration began.
        grad_changes: ``[10, V]``, newest last; zero where unused.
        param_changes: ``[10, V]``, newest last; zero where unused.
        inverse_curvatures: ``[10]``, 1 / (grad change . param change), or 0.
        scale: initial inverse Hessian, times identity.
    """

    num_iterations: Int[Array, ""]
    direction: Float[Array, " V"]
    step_size: Float[Array, ""]
    grad: Float[Array, " V"]
    grad_changes: Float[Array, "H V"]
    param_changes: Float[Array, "H V"]
    inverse_curvatures: Float[Array, " H"]
    scale: Float[Array, ""]


class _Progress(NamedTuple):
    iteration: Int[Array, ""]
    evaluations: Int[Array, ""]
    params: Float[Array, " V"]
    loss: Float[Array, ""]
    grad: Float[Array, " V"]
    state: LbfgsState
    done: Bool[Array, ""]


def lbfgs_init(params: Float[Array, " V"]) -> LbfgsState:
    """Return the state of no iterations, for parameters shaped like ``params``."""
    zeros = jnp.zeros_like(params)
    pairs = jnp.zeros((_HISTORY, params.size), params.dtype)
    return LbfgsState(
        num_iterations=jnp.asarray(0, jnp.int32),
        direction=zeros,
        step_size=jnp.zeros((), params.dtype),
        grad=zeros,
        grad_changes=pairs,
        param_changes=pairs,
        inverse_curvatures=pairs[:, 0],
        scale=jnp.ones((), params.dtype),
    )


def lbfgs_step(
    loss: Callable[[Float[Array, " V"]], Float[Array, ""]],
    params: Float[Array, " V"],
    state: LbfgsState,
    *,
    learning_rate: float,
) -> tuple[Float[Array, " V"], LbfgsState]:
    """Run up to five L-BFGS iterations, one ``step`` of the torch optimiser.

    Args:
        loss: ``params [V] -> scalar``.
        params: ``[V]``.
        state: from `lbfgs_init` or an earlier step.
        learning_rate: first step length that each line search tries.

    Returns:
        params ``[V]`` and the new state.
    """
    evaluate = jax.value_and_grad(loss)
    value, grad = evaluate(params)

    def body(progress: _Progress) -> _Progress:
        return _iterate(evaluate, progress, learning_rate)

    first = _Progress(
        iteration=jnp.asarray(0, jnp.int32),
        evaluations=jnp.asarray(1, jnp.int32),
        params=params,
        loss=value,
        grad=grad,
        state=state,
        done=_converged(grad),
    )
    last = jax.lax.while_loop(lambda progress: ~progress.done, body, alike(first))
    return last.params, last.state


def _iterate(
    evaluate: Callable[
        [Float[Array, " V"]], tuple[Float[Array, ""], Float[Array, " V"]]
    ],
    progress: _Progress,
    learning_rate: float,
) -> _Progress:
    """Choose a direction, search along it, and see whether to go on."""
    params, grad = progress.params, progress.grad
    fresh = progress.state.num_iterations == 0
    state = _remember(progress.state, grad)
    direction = jnp.where(fresh, -grad, _newton_direction(state, grad))
    cautious = jnp.minimum(1.0, 1.0 / jnp.sum(jnp.abs(grad)))
    step = jnp.where(fresh, cautious, 1.0) * learning_rate

    def trial(step: Float[Array, ""]) -> Trial:
        value, grad = evaluate(params + step * direction)
        return Trial(step, value, jnp.dot(grad, direction), grad)

    slope = jnp.dot(grad, direction)
    descends = slope <= -_TOLERANCE_CHANGE
    start = Trial(jnp.zeros_like(step), progress.loss, slope, grad)
    scale = jnp.max(jnp.abs(direction))
    left = _MAX_EVALUATIONS - progress.evaluations
    best, spent = strong_wolfe(trial, start, step, scale, descends, left)

    iteration = progress.iteration + 1
    evaluations = progress.evaluations + spent
    finished = (
        ~descends
        | (iteration >= _MAX_ITERATIONS)
        | (evaluations >= _MAX_EVALUATIONS)
        | _converged(best.grad)
        | (scale * best.step <= _TOLERANCE_CHANGE)
        | (jnp.abs(best.loss - progress.loss) < _TOLERANCE_CHANGE)
    )
    return _Progress(
        iteration=iteration,
        evaluations=evaluations,
        params=jnp.where(descends, params + best.step * direction, params),
        loss=jnp.where(descends, best.loss, progress.loss),
        grad=jnp.where(descends, best.grad, grad),
        state=state._replace(
            num_iterations=state.num_iterations + 1,
            direction=direction,
            # torch records the step it would have tried, even where it took none.
            step_size=jnp.where(descends, best.step, step),
            grad=grad,
        ),
        done=finished,
    )


def _remember(state: LbfgsState, grad: Float[Array, " V"]) -> LbfgsState:
    """Store the newest curvature pair if its curvature is positive."""
    grad_change = grad - state.grad
    param_change = state.direction * state.step_size
    curvature = jnp.dot(grad_change, param_change)
    good = (state.num_iterations > 0) & (curvature > _MIN_CURVATURE)
    safe = jnp.where(good, curvature, 1.0)
    square = jnp.where(good, jnp.dot(grad_change, grad_change), 1.0)

    def push(buffer: Array, newest: Array) -> Array:
        return jnp.where(good, jnp.concatenate([buffer[1:], newest[None]]), buffer)

    return state._replace(
        grad_changes=push(state.grad_changes, grad_change),
        param_changes=push(state.param_changes, param_change),
        inverse_curvatures=push(state.inverse_curvatures, 1.0 / safe),
        scale=jnp.where(good, safe / square, state.scale),
    )


def _newton_direction(
    state: LbfgsState, grad: Float[Array, " V"]
) -> Float[Array, " V"]:
    """Apply the negative inverse Hessian by the two-loop recursion.

    Nocedal and Wright, algorithm 7.4. Unused pairs are zero and change nothing.
    """
    pairs = (state.grad_changes, state.param_changes, state.inverse_curvatures)

    def backward(q: Array, pair: tuple[Array, Array, Array]) -> tuple[Array, Array]:
        grad_change, param_change, inverse = pair
        alpha = inverse * jnp.dot(param_change, q)
        return q - alpha * grad_change, alpha

    def forward(r: Array, pair: tuple[tuple[Array, ...], Array]) -> tuple[Array, None]:
        (grad_change, param_change, inverse), alpha = pair
        beta = inverse * jnp.dot(grad_change, r)
        return r + (alpha - beta) * param_change, None

    q, alphas = jax.lax.scan(backward, -grad, pairs, reverse=True)
    direction, _ = jax.lax.scan(forward, q * state.scale, (pairs, alphas))
    return direction


def _converged(grad: Float[Array, " V"]) -> Bool[Array, ""]:
    """Tell whether the largest gradient entry is within the tolerance."""
    return jnp.max(jnp.abs(grad)) <= _TOLERANCE_GRAD

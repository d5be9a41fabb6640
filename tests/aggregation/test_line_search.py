"""The line search ends where the strong Wolfe conditions hold."""

import jax
import jax.numpy as jnp
import numpy as np

from avits_jax.aggregation.lbfgs import lbfgs_init, lbfgs_step
from avits_jax.aggregation.line_search import Trial, strong_wolfe

TARGET = jnp.asarray([0.2, 300.0])
START = jnp.asarray([1.0, 0.0])


def loss(log_vars):
    return jnp.sum(0.5 * jnp.exp(-log_vars) * TARGET + 0.5 * log_vars)


def search(first_step, active=True, trials=25):
    """Search from `START` down the gradient; return start, best trial and its cost."""
    value, grad = jax.value_and_grad(loss)(START)
    direction = -grad / jnp.linalg.norm(grad)

    def evaluate(step):
        value, grad = jax.value_and_grad(loss)(START + step * direction)
        return Trial(step, value, grad @ direction, grad)

    start = Trial(jnp.float32(0), value, grad @ direction, grad)
    scale = jnp.max(jnp.abs(direction))
    active, trials = jnp.asarray(active), jnp.asarray(trials, jnp.int32)
    return start, *strong_wolfe(evaluate, start, first_step, scale, active, trials)


def test_wolfe_conditions_hold_from_any_first_step():
    """Too short, just right, too long, and absurdly long."""
    steps = jnp.asarray([1e-3, 5.0, 1e3, 1e4])
    start, best, spent = jax.jit(jax.vmap(search))(steps)
    assert (best.step > 0).all()
    assert (best.loss <= start.loss + 1e-4 * best.step * start.slope).all()
    assert (jnp.abs(best.slope) <= 0.9 * jnp.abs(start.slope)).all()
    np.testing.assert_array_less(spent, 27)
    assert spent[1] == 1
    assert (spent[jnp.asarray([0, 2, 3])] > 1).all()


def test_an_inactive_search_spends_one_evaluation():
    assert search(jnp.float32(1e-3), active=False)[2] == 1


def test_a_search_stops_after_its_trials():
    start, best, spent = search(jnp.float32(1e-6), trials=2)
    assert spent == 3
    assert 1e-6 < best.step <= 1e-4 * 1.01
    assert best.loss < start.loss


def test_the_trials_of_a_search_count_against_the_step():
    """Each is at most ten times as long as the last, and a step has five to spend.

    A parabola through 0, so that losses are exact; flat enough from 0.1 on.
    """
    start = jnp.zeros(2)
    fitted, _ = lbfgs_step(
        lambda x: jnp.sum(0.5 * x * x - x), start, lbfgs_init(start), learning_rate=1e-8
    )
    assert ((fitted > 0) & (fitted < 1e-8 * 10**5)).all()

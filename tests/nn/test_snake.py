"""Activations at twice the rate."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from avits_jax.nn import snake


def draw(*shape):
    return jax.random.normal(jax.random.key(0), shape)


@pytest.mark.parametrize("taps", [12, 11, 6])
def test_passes_are_convolutions(taps):
    x, filter_ = draw(2, 9, 3), draw(taps)
    doubled = snake._double_in_one(x, filter_)
    assert doubled.shape == (2, 18, 3)
    passes = snake._double_in_passes(x, filter_)
    np.testing.assert_allclose(doubled, passes, atol=1e-5)
    halved = snake._halve_in_one(doubled, filter_)
    assert halved.shape == x.shape
    passes = snake._halve_in_passes(doubled, filter_)
    np.testing.assert_allclose(halved, passes, atol=1e-4)


def test_a_constant_and_a_slow_wave_stay_as_they_are():
    filter_ = jnp.asarray(snake.low_pass())
    assert filter_.sum() == pytest.approx(1)
    flat = jnp.full((1, 8, 1), 0.7)
    # Either phase's taps sum to one half only nearly.
    np.testing.assert_allclose(snake.double_rate(flat, filter_), 0.7, atol=2e-3)
    time = np.arange(200)
    wave = jnp.asarray(np.sin(0.2 * time), jnp.float32)[None, :, None]
    doubled = snake.double_rate(wave, filter_)
    # Half a sample of the doubled rate lies between the two grids.
    expected = np.sin(0.1 * np.arange(400) - 0.05)
    np.testing.assert_allclose(doubled[0, 20:-20, 0], expected[20:-20], atol=0.01)
    np.testing.assert_allclose(
        snake.halve_rate(doubled, filter_)[0, 20:-20, 0], wave[0, 20:-20, 0], atol=0.01
    )


def test_the_formula_of_one_activation_of_several():
    several = snake.SnakeBeta(2, 1)
    several.alpha[...] = jnp.log(jnp.asarray([[1.0], [2.0]]))
    several.beta[...] = jnp.log(jnp.asarray([[1.0], [4.0]]))
    x = jnp.full((1, 30, 1), 0.5)
    got = several(x, 1)[0, 10:-10, 0]
    np.testing.assert_allclose(got, 0.5 + np.sin(1.0) ** 2 / 4, atol=2e-3)
    assert np.abs(got - several(x, 0)[0, 10:-10, 0]).max() > 0.05

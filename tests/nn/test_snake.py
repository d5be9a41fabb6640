"""Activations at twice the rate."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from avits_jax.nn import snake


def draw(*shape):
    return jax.random.normal(jax.random.key(0), shape)


def doubled_by_numpy(x, taps):
    """Zeros between the numbers, then a convolution, its ends cut off."""
    margin = len(taps) // 2 - 1
    x = np.pad(x, margin, mode="edge")
    stuffed = np.stack([x, np.zeros_like(x)], 1).ravel()
    start = 2 * margin + (len(taps) - 2) // 2
    whole = 2 * np.convolve(stuffed, taps)
    return whole[start : start + 2 * (len(x) - 2 * margin)]


def halved_by_numpy(x, taps):
    x = np.pad(x, ((len(taps) - 1) // 2, len(taps) // 2), mode="edge")
    return np.correlate(x, taps, "valid")[::2]


@pytest.mark.parametrize("taps", [12, 11, 6])
def test_rates_change_by_the_filter(taps):
    x, filter_ = draw(2, 9, 3), draw(taps)

    def each(change, x):
        return np.apply_along_axis(change, 1, np.asarray(x), np.asarray(filter_))

    doubled = snake.double_rate(x, filter_)
    assert doubled.shape == (2, 18, 3)
    np.testing.assert_allclose(doubled, each(doubled_by_numpy, x), atol=1e-5)
    halved = snake.halve_rate(doubled, filter_)
    assert halved.shape == x.shape
    np.testing.assert_allclose(halved, each(halved_by_numpy, doubled), atol=1e-4)


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

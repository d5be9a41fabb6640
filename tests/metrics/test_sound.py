"""Whole files as av-benchmark's networks hear them."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from avits_jax.metrics.sound import at_rate
from avits_jax.nn.resample import resample


@pytest.fixture(scope="module")
def stereo():
    wave = np.random.default_rng(0).normal(0.2, 0.1, (2, 2, 4410))
    return jnp.asarray(wave, jnp.float32)


def test_the_mean_of_the_whole_file_goes_before_anything_is_cut(stereo):
    found = at_rate(stereo, 44_100, 16_000, 0.05)
    mono = np.asarray(stereo).mean(1)
    centred = jnp.asarray(mono - mono.mean(-1, keepdims=True))
    whole = resample(centred, 44_100, 16_000)
    assert found.shape == (2, 800) and whole.shape == (2, 1600)
    np.testing.assert_allclose(found, whole[:, :800], atol=1e-6)
    assert np.abs(found.mean(-1)).max() > 1e-4


def test_eager_and_jitted_files_with_and_without_channels_are_the_same(stereo):
    expected = at_rate(stereo, 44_100, 32_000)
    jitted = jax.jit(lambda x: at_rate(x, 44_100, 32_000))(stereo)
    np.testing.assert_allclose(jitted, expected, atol=1e-6)
    mono = at_rate(jnp.mean(stereo, 1), 44_100, 32_000)
    np.testing.assert_allclose(mono, expected, atol=1e-6)
    alone = at_rate(stereo[1:], 44_100, 32_000)
    np.testing.assert_allclose(alone[0], expected[1], atol=1e-6)


def test_a_short_file_is_not_filled_up(stereo):
    assert at_rate(stereo, 16_000, 16_000).shape == (2, 4410)
    assert at_rate(jnp.zeros((1, 200_000)), 16_000, 16_000).shape == (1, 128_000)


def test_one_broken_sample_makes_its_file_nan_and_no_other(stereo):
    found = at_rate(stereo.at[0, 1, 7].set(jnp.inf), 44_100, 16_000)
    assert np.isnan(found[0]).all() and np.isfinite(found[1]).all()


@pytest.mark.parametrize(
    ("samples", "seconds", "message"),
    [
        (0, 8.0, r"at least one sample, got shape \(1, 0\)"),
        (9, 0.0, "seconds must be above 0, got 0.0"),
        (9, float("nan"), "seconds must be above 0, got nan"),
    ],
)
def test_nothing_to_hear_is_refused(samples, seconds, message):
    with pytest.raises(ValueError, match=message):
        at_rate(jnp.zeros((1, samples)), 16_000, 16_000, seconds)

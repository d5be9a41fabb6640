"""Resampling in-graph."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from avits_jax.nn.resample import resample


@pytest.mark.parametrize(
    ("source", "target"), [(16_000, 48_000), (44_100, 16_000), (8_000, 11_025)]
)
def test_a_tone_stays_a_tone(source, target):
    def tone(rate):
        return np.sin(2 * np.pi * 440 * np.arange(rate // 5) / rate)

    out = jax.jit(lambda x: resample(x, source, target))(jnp.asarray(tone(source)))
    assert out.shape == (-(-(source // 5) * target // source),)
    inner = slice(200, -200)
    np.testing.assert_allclose(out[inner], tone(target)[inner], atol=5e-3)


def test_what_the_lower_rate_cannot_carry_is_removed():
    tone = np.sin(2 * np.pi * 12_000 * np.arange(4800) / 48_000)
    assert np.abs(resample(jnp.asarray(tone), 48_000, 16_000)[50:-50]).max() < 1e-2


def test_channels_are_independent_and_the_same_rate_changes_nothing():
    audio = jax.random.normal(jax.random.key(0), (2, 3, 500))
    out = resample(audio, 16_000, 24_000)
    assert out.shape == (2, 3, 750)
    alone = resample(audio[1, 2], 16_000, 24_000)
    np.testing.assert_allclose(out[1, 2], alone, atol=1e-6)
    np.testing.assert_array_equal(resample(audio, 8_000, 8_000), audio)


def test_the_first_and_the_last_sample_may_go_on():
    audio = jnp.linspace(1.0, 2.0, 40)
    out = resample(audio, 16_000, 48_000, pad_mode="edge")
    longer = resample(jnp.pad(audio, 20, mode="edge"), 16_000, 48_000)[60:-60]
    np.testing.assert_allclose(out, longer, atol=1e-6)
    assert abs(out[0] - 1) < 0.02 and abs(resample(audio, 1, 3)[-1] - 2) > 0.3


@pytest.mark.parametrize("rates", [(0, 16_000), (16_000, -1)])
def test_a_rate_must_be_positive(rates):
    with pytest.raises(ValueError, match="must be positive, got"):
        resample(jnp.zeros(10), *rates)

"""Resampling against NumPy: unbiased, bounded, safe with dead particles."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from avits_jax.search import effective_sample_size, multinomial, systematic

pytestmark = pytest.mark.usefixtures("strict_core")

LOG_WEIGHTS = jnp.asarray([0.0, 1.0, -2.0, -jnp.inf, 2.0, 0.5])


def _many(num: int):
    return jax.random.split(jax.random.key(0), num)


def _weights(log_weights) -> np.ndarray:
    weights = np.exp(np.asarray(log_weights, np.float64))
    return weights / weights.sum()


@pytest.mark.parametrize("resample", [systematic, multinomial])
def test_expected_copies_are_proportional_to_weights(resample):
    drawn = jax.jit(jax.vmap(resample, (0, None)))(_many(4000), LOG_WEIGHTS)
    copies = np.stack([np.bincount(row, minlength=6) for row in np.asarray(drawn)])
    wanted = 6 * _weights(LOG_WEIGHTS)
    error = 4 * copies.std(axis=0) / np.sqrt(len(copies)) + 1e-9
    assert (abs(copies.mean(axis=0) - wanted) <= error).all()
    assert copies[:, 3].max() == 0


def test_systematic_copies_differ_by_less_than_one_from_their_mean():
    drawn = jax.jit(jax.vmap(systematic, (0, None)))(_many(200), LOG_WEIGHTS)
    wanted = 6 * _weights(LOG_WEIGHTS)
    for row in np.asarray(drawn):
        assert (abs(np.bincount(row, minlength=6) - wanted) < 1 + 1e-5).all()


def test_systematic_equals_numpy():
    offset = float(jax.random.uniform(jax.random.key(7)))
    pointers = (np.arange(6) + offset) / 6
    wanted = np.searchsorted(np.cumsum(_weights(LOG_WEIGHTS)), pointers, side="right")
    np.testing.assert_array_equal(systematic(jax.random.key(7), LOG_WEIGHTS), wanted)


@settings(max_examples=20, deadline=None)
@given(st.lists(st.floats(-30, 30, width=32), min_size=4, max_size=4))
def test_effective_sample_size_equals_numpy(values):
    log_weights = jnp.asarray(values, jnp.float32)
    wanted = 1 / np.square(_weights(np.asarray(values) - max(values))).sum()
    ess = effective_sample_size(log_weights)
    np.testing.assert_allclose(ess, wanted, rtol=1e-4)
    np.testing.assert_allclose(effective_sample_size(log_weights + 5), ess, rtol=1e-3)
    for resample in (systematic, multinomial):
        ancestors = resample(jax.random.key(0), log_weights)
        assert ((ancestors >= 0) & (ancestors < 4)).all()


@pytest.mark.parametrize("resample", [systematic, multinomial])
def test_dead_particles(resample):
    all_dead = jnp.full(4, -jnp.inf)
    assert effective_sample_size(all_dead) == 4
    assert (resample(jax.random.key(0), all_dead) < 4).all()
    one_alive = jnp.asarray([-jnp.inf, jnp.nan, 0.0, -jnp.inf])
    assert effective_sample_size(one_alive) == 1
    assert (resample(jax.random.key(0), one_alive) == 2).all()


@pytest.mark.parametrize("resample", [systematic, multinomial])
def test_a_pointer_of_zero_passes_over_who_has_no_weight(resample, monkeypatch):
    def zero(key, shape, dtype):
        return jnp.zeros(shape, dtype)

    monkeypatch.setattr(jax.random, "uniform", zero)
    ancestors = resample(jax.random.key(0), jnp.asarray([-jnp.inf, 0.0, 0.0]))
    assert ancestors[0] == 1 and (ancestors > 0).all()

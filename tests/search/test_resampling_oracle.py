"""Resampling against blackjax's."""

import blackjax.smc.resampling as oracle
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from avits_jax.search import multinomial, systematic

LOG_WEIGHTS = jnp.array([0.3, -1.0, 2.0, -4.0, 0.0, 1.0])
WEIGHTS = jax.nn.softmax(LOG_WEIGHTS)


@pytest.mark.parametrize("seed", range(5))
def test_systematic_equals_blackjax(seed):
    key = jax.random.key(seed)
    np.testing.assert_array_equal(
        systematic(key, LOG_WEIGHTS), oracle.systematic(key, WEIGHTS, 6)
    )


def test_multinomial_copies_as_often_as_blackjax():
    keys = jax.random.split(jax.random.key(0), 4000)

    def mean_copies(resample):
        drawn = jax.jit(jax.vmap(resample))(keys)
        return np.bincount(np.asarray(drawn).ravel(), minlength=6) / len(keys)

    ours = mean_copies(lambda key: multinomial(key, LOG_WEIGHTS))
    theirs = mean_copies(lambda key: oracle.multinomial(key, WEIGHTS, 6))
    np.testing.assert_allclose(ours, theirs, atol=0.08)
    np.testing.assert_allclose(ours, 6 * WEIGHTS, atol=0.06)

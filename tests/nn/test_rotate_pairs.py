"""Rotary positions of neighbouring numbers, against complex multiplication."""

import jax
import jax.numpy as jnp
import numpy as np

from avits_jax.nn.positions import _turn, _turn_by_product, rotate_pairs


def test_neighbours_turn_by_position_times_frequency():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(2, 5, 3, 8)).astype(np.float32)
    frequency = np.array([1.0, 0.3, 0.1, 0.01], np.float32)
    pairs = x[..., ::2] + 1j * x[..., 1::2]
    turned = pairs * np.exp(1j * np.arange(5)[:, None, None] * frequency)
    wanted = np.stack([turned.real, turned.imag], -1).reshape(x.shape)
    found = rotate_pairs(jnp.asarray(x), jnp.asarray(frequency))
    np.testing.assert_allclose(found, wanted, atol=1e-6)


def test_tpus_turn_the_same_numbers_by_a_product():
    x = jnp.asarray(np.random.default_rng(1).normal(size=(1, 3, 2, 8)), jnp.bfloat16)
    np.testing.assert_array_equal(_turn_by_product(x), _turn(x))
    traced = jax.jit(rotate_pairs).trace(x, jnp.ones(4))
    for platform, products in (("tpu", 1), ("cuda", 0)):
        text = traced.lower(lowering_platforms=(platform,)).as_text()
        assert text.count("dot_general") == products

"""Rotary positions of neighbouring numbers, against complex multiplication."""

import jax.numpy as jnp
import numpy as np

from avits_jax.nn.positions import rotate_pairs


def test_neighbours_turn_by_position_times_frequency():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(2, 5, 3, 8)).astype(np.float32)
    frequency = np.array([1.0, 0.3, 0.1, 0.01], np.float32)
    pairs = x[..., ::2] + 1j * x[..., 1::2]
    turned = pairs * np.exp(1j * np.arange(5)[:, None, None] * frequency)
    wanted = np.stack([turned.real, turned.imag], -1).reshape(x.shape)
    found = rotate_pairs(jnp.asarray(x), jnp.asarray(frequency))
    np.testing.assert_allclose(found, wanted, atol=1e-6)

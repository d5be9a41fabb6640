"""Channels to frames and pixels, element by element."""

import itertools

import jax.numpy as jnp
import numpy as np
import pytest

from avits_jax.nn.pixel_shuffle import pixel_shuffle


@pytest.mark.parametrize(("time", "space"), [(1, 2), (2, 1), (2, 3)])
def test_every_number_goes_where_it_belongs(time, space):
    x = np.arange(2 * 3 * 2 * 3 * 2 * time * space**2, dtype=np.float32)
    x = x.reshape(2, 3, 2, 3, -1)
    y = np.asarray(pixel_shuffle(jnp.asarray(x), time, space))
    assert y.shape == (2, 3 * time, 2 * space, 3 * space, 2)
    for f, h, w, c in itertools.product(*map(range, y.shape[1:])):
        channel = ((c * time + f % time) * space + h % space) * space + w % space
        source = x[:, f // time, h // space, w // space, channel]
        np.testing.assert_array_equal(y[:, f, h, w, c], source)

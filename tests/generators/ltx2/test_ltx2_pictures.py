"""Pictures that are to be frames: scaled to cover, cut out of the middle."""

import math

import jax.numpy as jnp
import numpy as np
import pytest

from avits_jax.generators.ltx2.pictures import cover


def _axis(values, length, wanted):
    """Interpolate along the first axis, and keep the middle."""
    places = (np.arange(length) + 0.5) * len(values) / length - 0.5
    low = np.floor(places).astype(int)
    share = (places - low)[:, None, None]
    below, above = (np.clip(low + i, 0, len(values) - 1) for i in (0, 1))
    scaled = values[below] * (1 - share) + values[above] * share
    start = (length - wanted) // 2
    return scaled[start : start + wanted]


@pytest.mark.parametrize("height, width", [(32, 64), (64, 96), (64, 64), (20, 21)])
def test_a_picture_is_interpolated_and_cut(height, width):
    image = np.random.default_rng(0).random((50, 70, 3), np.float32)
    scale = max(height / 50, width / 70)
    rows = _axis(image, math.ceil(50 * scale), height)
    columns = _axis(rows.swapaxes(0, 1), math.ceil(70 * scale), width)
    found = cover(jnp.asarray(image), height, width)
    assert found.shape == (height, width, 3)
    np.testing.assert_allclose(found, columns.swapaxes(0, 1), atol=1e-5)


def test_a_picture_of_the_right_size_stays_as_it_is():
    image = np.random.default_rng(0).random((8, 12, 3), np.float32)
    np.testing.assert_array_equal(cover(jnp.asarray(image), 8, 12), image)


def test_a_picture_of_which_nothing_would_be_left_is_refused():
    with pytest.raises(ValueError, match="1 x 4000 pixels.*cut it first"):
        cover(jnp.zeros((1, 4000, 3)), 64, 96)
    assert cover(jnp.zeros((10, 100, 3)), 64, 96).shape == (64, 96, 3)

"""Resizing against PIL and by known properties."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from avits_jax.nn import resize as rs

KERNELS = [rs.triangle, rs.cubic_pil, rs.cubic_torch]


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("antialias", [False, True])
def test_a_flat_picture_stays_flat_and_the_same_size_is_the_identity(kernel, antialias):
    flat = rs.resize(jnp.full((7, 9, 2), 3.0), (5, 13), kernel, antialias=antialias)
    np.testing.assert_allclose(flat, 3.0, rtol=1e-6)
    picture = jax.random.normal(jax.random.key(0), (7, 9, 2))
    same = rs.resize(picture, (7, 9), kernel, antialias=antialias)
    np.testing.assert_allclose(same, picture, atol=1e-6)


@pytest.mark.parametrize("size", [(20, 31), (64, 90), (120, 7)])
def test_levels_are_within_one_of_pil(size):
    levels = np.random.default_rng(0).integers(0, 256, (40, 53, 3), dtype=np.uint8)
    image = Image.fromarray(levels).resize(size[::-1], Image.Resampling.BICUBIC)
    ours = rs.resize_levels(jnp.asarray(levels, jnp.float32), size)
    difference = np.abs(np.asarray(ours) - np.asarray(image))
    assert difference.max() <= 1
    assert (difference > 0).mean() < 0.005


@pytest.mark.parametrize(
    ("kernel", "filter"),
    [
        (rs.triangle, Image.Resampling.BILINEAR),
        (rs.cubic_pil, Image.Resampling.BICUBIC),
    ],
)
def test_antialiased_floats_equal_pil(kernel, filter):
    picture = np.random.default_rng(0).normal(size=(40, 53)).astype(np.float32)
    image = Image.fromarray(picture).resize((20, 30), filter)
    ours = rs.resize(jnp.asarray(picture)[..., None], (30, 20), kernel, antialias=True)
    np.testing.assert_allclose(ours[..., 0], np.asarray(image), atol=2e-6)


def test_aligned_corners_keep_the_ends():
    line = jnp.asarray([[[1.0], [5.0], [2.0]]])
    out = rs.resize(line, (1, 5), rs.cubic_torch, align_corners=True)[0, :, 0]
    np.testing.assert_allclose(out[jnp.asarray([0, 2, 4])], [1.0, 5.0, 2.0], atol=1e-6)


def test_batch_axes_are_kept():
    batch = jax.random.normal(jax.random.key(0), (2, 3, 8, 6, 1))
    whole = rs.resize(batch, (4, 5))
    np.testing.assert_allclose(whole[1, 2], rs.resize(batch[1, 2], (4, 5)), atol=1e-6)


def test_sizes_and_crops():
    assert rs.short_side(240, 426, 224) == (224, 397)
    assert rs.short_side(150, 98, 224) == (342, 224)
    picture = jnp.arange(7 * 4.0).reshape(7, 4, 1)
    # A margin of 1.5 rounds to 2, as in torchvision.
    np.testing.assert_array_equal(rs.square_levels(picture, 4), picture[2:6])
    np.testing.assert_allclose(rs.square(picture / 28, 4), picture[2:6] / 28, atol=1e-6)

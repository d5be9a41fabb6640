"""Doublings and halvings of LTX-2's video autoencoder, said again by index."""

import itertools

import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from avits_jax.generators.ltx2.video_vae.blocks import (
    Downsample,
    Upsample,
    pixel_norm,
)
from avits_jax.generators.ltx2.video_vae.config import Resample


def _without_convolution(layer):
    """Leave what goes straight, and the convolution's bias."""
    layer.conv.kernel[...] = jnp.zeros_like(layer.conv.kernel[...])
    layer.conv.bias[...] = jnp.arange(1.0, 1 + layer.conv.bias[...].size)
    return layer


def _normal(*shape):
    return np.random.default_rng(0).normal(size=shape).astype(np.float32)


@pytest.mark.parametrize("residual", [False, True])
@pytest.mark.parametrize("stride, factor", [((2, 2, 2), 2), ((2, 1, 1), 2)])
def test_channels_become_frames_rows_and_columns(stride, factor, residual):
    sizes, width = Resample(stride, factor, residual), 16
    layer = Upsample(width, sizes, reflect=True, rngs=nnx.Rngs(0))
    x = _normal(1, 3, 2, 2, width)
    found = _without_convolution(layer)(jnp.asarray(x))
    st, sh, sw = stride
    expected = np.zeros((3 * st, 2 * sh, 2 * sw, width // factor))
    for t, h, w, c in np.ndindex(expected.shape):
        place = (t % st * sh + h % sh) * sw + w % sw
        expected[t, h, w, c] = 1 + c * sizes.fold + place
        if residual:
            channel = c % (width // sizes.fold) * sizes.fold + place
            expected[t, h, w, c] += x[0, t // st, h // sh, w // sw, channel]
    np.testing.assert_allclose(found[0], expected[st - 1 :], atol=1e-5)


@pytest.mark.parametrize(
    "stride, factor", [((2, 2, 2), 2), ((2, 2, 2), 1), ((1, 2, 2), 2)]
)
def test_frames_rows_and_columns_become_channels(stride, factor):
    width, (st, sh, sw) = 8, stride
    sizes = Resample(stride, factor, True)
    layer = Downsample(width, sizes, rngs=nnx.Rngs(0))
    x = _normal(1, 3, 4, 2, width)
    found = np.asarray(_without_convolution(layer)(jnp.asarray(x)))
    longer = np.concatenate([x[0, :1]] * (st - 1) + [x[0]])
    group = sizes.fold // factor
    assert found.shape == (1, len(longer) // st, 4 // sh, 2 // sw, width * factor)
    for t, h, w, c in np.ndindex(found.shape[1:]):
        # Of all the values that are folded into a position, channels slowest.
        values = [
            longer[t * st + dt, h * sh + dh, w * sw + dw, channel]
            for channel in range(width)
            for dt, dh, dw in itertools.product(*map(range, stride))
        ]
        expected = np.mean(values[c * group : (c + 1) * group])
        expected += 1 + c // sizes.fold
        np.testing.assert_allclose(found[0, t, h, w, c], expected, atol=1e-5)


def test_the_norm_is_of_one_position_and_leaves_nothing_as_nothing():
    x = jnp.asarray([[[3.0, -4.0]], [[0.0, 0.0]]]) * 1e-3
    expected = x[:1] / np.sqrt(12.5e-6 + 1e-8)
    np.testing.assert_allclose(pixel_norm(x)[:1], expected, rtol=1e-6)
    np.testing.assert_array_equal(pixel_norm(x)[1], 0)

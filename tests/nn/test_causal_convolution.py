"""Causal 3-D convolution, nearest upsampling, work in batches, context attention."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from avits_jax.nn import convolution
from avits_jax.nn.convolution import CausalConv3d, RepeatConv3d
from avits_jax.sampling.chunks import in_batches

_NONE, _SAME = ((0, 0),) * 3, ((0, 0), (1, 1), (1, 1))


def _normal(seed: int, *shape: int) -> jax.Array:
    return jax.random.normal(jax.random.key(seed), shape)


@pytest.mark.parametrize("strides", [(1, 1, 1), (2, 1, 1), (2, 3, 2)])
@pytest.mark.parametrize(
    "margins", [_NONE, _SAME, ((0, 0), (2, 0), (1, 1)), ((2, 1), (0, 1), (1, 2))]
)
@pytest.mark.parametrize("window", [(3, 3, 3), (2, 1, 1), (1, 2, 3)])
def test_fast_path_on_cpu_is_the_3d_convolution(strides, margins, window):
    x, kernel = _normal(0, 2, 7, 4, 5, 3), _normal(1, *window, 3, 6)
    fast = convolution._shifted_conv2d(x, kernel, strides, margins)
    whole = convolution._plain(x, kernel, strides, margins)
    assert fast.shape == whole.shape
    np.testing.assert_allclose(fast, whole, atol=1e-4)


@pytest.mark.parametrize(("stride", "products"), [(1, 16), (2, 3)])
def test_a_cpu_takes_wide_windows_apart(stride, products):
    conv = CausalConv3d(48, 48, 3, stride=stride, rngs=nnx.Rngs(0))
    x = _normal(0, 1, 4, 9, 10, 48)
    text = jax.jit(conv).trace(x).lower().as_text()
    assert text.count("stablehlo.convolution") == products
    front = 3 - stride
    padded = jnp.pad(x, ((0, 0), (front, 0), (0, 0), (0, 0), (0, 0)))
    whole = convolution._plain(padded, conv.kernel[...], (stride, 1, 1), _SAME)
    np.testing.assert_allclose(conv(x), whole, atol=1e-5)


def test_no_frame_sees_a_later_one():
    conv = CausalConv3d(2, 3, 3, rngs=nnx.Rngs(0))
    x = _normal(0, 1, 5, 2, 2, 2)
    before, after = conv(x), conv(x.at[:, 3].add(1.0))
    np.testing.assert_array_equal(before[:, :3], after[:, :3])
    assert np.abs(before[:, 3] - after[:, 3]).max() > 0.01


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("reflect", [False, True])
def test_frames_are_repeated_and_space_is_padded(causal, reflect):
    conv = RepeatConv3d(2, 6, causal=causal, reflect=reflect, rngs=nnx.Rngs(0))
    conv.bias[...] = _normal(2, 6)
    x = _normal(0, 2, 4, 3, 5, 2)
    frames = [0, 0, 0, 1, 2, 3] if causal else [0, 0, 1, 2, 3, 3]
    padded = x[:, jnp.array(frames)]
    if reflect:
        rows, columns = jnp.array([1, 0, 1, 2, 1]), jnp.array([1, 0, 1, 2, 3, 4, 3])
        padded = padded[:, :, rows][:, :, :, columns]
    kernel = conv.kernel[...]
    whole = (
        convolution._plain(padded, kernel, (1, 1, 1), _NONE if reflect else _SAME)
        + conv.bias[...]
    )
    assert whole.shape == (2, 4, 3, 5, 6)
    np.testing.assert_allclose(conv(x), whole, atol=1e-5)
    turned = conv(x, lambda weight: weight[..., ::-1])
    np.testing.assert_allclose(turned, whole[..., ::-1], atol=1e-5)


def test_upsampling_repeats_pixels():
    x = jnp.arange(4.0).reshape(1, 2, 2, 1)
    expected = [[0, 0, 1, 1], [0, 0, 1, 1], [2, 2, 3, 3], [2, 2, 3, 3]]
    up = convolution.upsample_nearest(x)[0, ..., 0]
    np.testing.assert_array_equal(up, expected)


@pytest.mark.parametrize("size", [1, 2, 3, 5, 9])
def test_pieces_give_what_the_whole_gives(size):
    x = _normal(0, 5, 3)
    np.testing.assert_array_equal(in_batches(lambda b: b * 2, x, size), x * 2)


def test_no_piece_is_refused():
    with pytest.raises(ValueError, match="size must be at least 1, got 0"):
        in_batches(lambda b: b, jnp.ones(3), 0)

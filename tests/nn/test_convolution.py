"""Convolutions in the form that suits the machine: what flax's own give, and where."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from avits_jax.nn import convolution
from avits_jax.nn.convolution import Convolution


def _normal(seed: int, *shape: int) -> jax.Array:
    return jax.random.normal(jax.random.key(seed), shape)


@pytest.mark.parametrize(
    ("size", "stride", "groups", "padding"),
    [
        ((3, 3), 1, 1, ((2, 0), (1, 1))),
        ((3, 3), 2, 1, ((2, 0), (0, 1))),
        ((3, 3), 1, 1, None),
        ((7, 7), 2, 1, None),
        ((3, 3), (2, 2), 4, None),
        ((1, 1), (2, 2), 1, None),
        ((3, 3, 3), 1, 1, "SAME"),
        ((7, 7, 7), 2, 1, "SAME"),
        ((1, 1, 1), 1, 1, "SAME"),
        ((3, 1, 1), (1, 1, 1), 1, None),
        ((1, 3, 3), (1, 2, 2), 1, None),
    ],
)
@pytest.mark.parametrize("channels", [8, 48])
def test_is_flaxs_convolution(size, stride, groups, padding, channels):
    layer = Convolution(
        channels, 64, size, stride, groups=groups, padding=padding, rngs=nnx.Rngs(0)
    )
    layer.bias[...] = jnp.arange(64.0)
    plain = nnx.Conv(
        channels,
        64,
        size,
        strides=stride,
        padding=padding or [(side // 2, side // 2) for side in size],
        feature_group_count=groups,
        rngs=nnx.Rngs(0),
    )
    plain.bias[...] = layer.bias[...]
    ours, theirs = (nnx.to_pure_dict(nnx.state(each)) for each in (layer, plain))
    assert ours.keys() == theirs.keys() == {"bias", "kernel"}
    np.testing.assert_array_equal(ours["kernel"], theirs["kernel"])
    x = _normal(0, 2, *(7, 14, 15)[-len(size) :], channels)
    assert layer(x).shape == plain(x).shape
    np.testing.assert_allclose(layer(x), plain(x), atol=1e-5)


@pytest.mark.parametrize(
    ("pixels", "channels", "few"),
    [
        ((4, 8), 512, True),
        ((16, 20), 512, True),
        ((4, 7), 512, False),
        ((16, 21), 512, False),
        ((8, 8), 511, False),
    ],
)
def test_wide_convolutions_of_few_pixels_are_one_product(pixels, channels, few):
    x = jax.ShapeDtypeStruct((1, *pixels, channels), jnp.float32)
    # So narrow a result that Winograd's form does not pay.
    layer = Convolution(channels, 8, (3, 3), rngs=nnx.Rngs(0))
    traced = jax.jit(layer).trace(x)
    for platform, products in ("cpu", few), ("tpu", False), ("cuda", False):
        text = traced.lower(lowering_platforms=(platform,)).as_text()
        assert text.count("stablehlo.dot_general") == products
        assert text.count("stablehlo.convolution") == 1 - products


@pytest.mark.parametrize(
    ("frames", "window", "channels", "products"),
    [(1, (1, 3, 3), 1024, 1), (1, (1, 3, 3), 512, 0), (3, (3, 3, 3), 512, 1)],
)
def test_of_few_pixels_large_kernels_are_one_product(
    frames, window, channels, products
):
    x = jax.ShapeDtypeStruct((1, frames, 8, 32 // frames, 512), jnp.float32)
    kernel = jax.ShapeDtypeStruct((*window, 512, channels), jnp.float32)
    margins = convolution.half(window)

    def run(x, kernel):
        return convolution.convolve(x, kernel, (1, 1, 1), margins)

    lowered = jax.jit(run).trace(x, kernel).lower(lowering_platforms=("cpu",))
    assert lowered.as_text().count("stablehlo.dot_general") == products


@pytest.mark.parametrize("window", [(1, 3, 3), (1, 1, 1), (1, 2, 5), (3, 3, 3)])
@pytest.mark.parametrize("margins", [((1, 1), (1, 1)), ((0, 2), (2, 0))])
def test_a_product_of_windows_is_the_plain_convolution(window, margins):
    x, kernel = _normal(0, 2, 3, 4, 5, 6), _normal(1, *window, 6, 7)
    margins = ((0, window[0] // 2), *margins)
    product = convolution._as_product(x, kernel, margins)
    plain = convolution._plain(x, kernel, (1, 1, 1), margins)
    assert product.shape == plain.shape
    np.testing.assert_allclose(product, plain, atol=2e-5)

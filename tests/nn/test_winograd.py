"""Winograd's form of 3 x 3 convolutions: a plain one's results, and where it runs."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from avits_jax.nn import convolution, winograd
from avits_jax.nn.convolution import Convolution


def _plain(x, kernel):
    return convolution._plain(x, kernel, (1, 1, 1), ((0, 0),) * 3)


def _pair(window: int, height: int, width: int, inward: int, outward: int):
    """Return video whose frames and space are padded already, and a kernel."""
    keys = jax.random.split(jax.random.key(height * width))
    x = jax.random.normal(keys[0], (2, window + 2, height + 2, width + 2, inward))
    kernel = jax.random.normal(keys[1], (window, 3, 3, inward, outward))
    return x, kernel / np.sqrt(kernel[..., 0].size)


@pytest.mark.parametrize("window", [1, 2, 3])
@pytest.mark.parametrize("space", [(1, 1), (2, 2), (4, 7), (5, 6), (9, 3)])
def test_is_the_plain_convolution(window, space):
    x, kernel = _pair(window, *space, 5, 7)
    plain = _plain(x, kernel)
    assert plain.shape == (2, 3, *space, 7)
    np.testing.assert_allclose(winograd.convolve(x, kernel), plain, atol=3e-6)
    np.testing.assert_allclose(jax.jit(winograd.convolve)(x, kernel), plain, atol=3e-6)


def test_errors_are_of_the_order_of_a_plain_convolutions():
    x, kernel = _pair(3, 12, 12, 512, 48)
    windows = np.lib.stride_tricks.sliding_window_view(
        np.asarray(x, np.float64), (3, 3, 3), axis=(1, 2, 3)
    )
    exact = np.einsum("bthwcijk,ijkcd->bthwd", windows, kernel, optimize=True)
    plain = np.abs(_plain(x, kernel) - exact).max()
    ours = np.abs(winograd.convolve(x, kernel) - exact).max()
    assert ours < 4 * plain < 2e-5


def test_gradients_are_the_plain_ones():
    x, kernel = _pair(3, 4, 5, 3, 4)

    def loss(function):
        return lambda x, kernel: jnp.sum(jnp.sin(function(x, kernel)))

    ours, expected = (
        jax.grad(loss(function), (0, 1))(x, kernel)
        for function in (winograd.convolve, _plain)
    )
    for got, right in zip(ours, expected, strict=True):
        np.testing.assert_allclose(got, right, atol=2e-5)


def test_candidates_do_not_see_each_other():
    x, kernel = _pair(3, 4, 5, 3, 4)
    both = jax.vmap(winograd.convolve, (0, None))(x[:, None], kernel)[:, 0]
    np.testing.assert_allclose(both, winograd.convolve(x, kernel), atol=3e-6)
    broken = winograd.convolve(x.at[0].set(jnp.nan), kernel)
    assert jnp.isnan(broken[0]).all()
    np.testing.assert_array_equal(broken[1], winograd.convolve(x, kernel)[1])


@pytest.mark.parametrize(
    ("change", "pays"),
    [
        ({}, True),
        ({"inward": 47}, False),
        ({"outward": 3}, False),
        ({"height": 16 - 1}, False),
        ({"inward": 1024, "outward": 512}, False),
        ({"inward": 1024, "outward": 512, "height": 32}, True),
        ({"dtype": jnp.bfloat16}, False),
        ({"size": 1}, False),
        ({"height": 4096}, False),
        ({"height": 4096, "window": 4}, True),
        ({"height": 4096, "inward": 160, "outward": 160}, True),
    ],
)
def test_pays_where_products_outweigh_sums(change, pays):
    case = {"inward": 48, "outward": 48, "height": 16, "dtype": jnp.float32, "size": 3}
    case |= {"window": 1} | change
    window = (case["window"], case["size"], case["size"])
    x = jnp.zeros((1, 1, case["height"], 16, case["inward"]), case["dtype"])
    kernel = jnp.zeros((*window, case["inward"], case["outward"]), case["dtype"])
    assert winograd.pays(x, kernel) == pays


@pytest.mark.parametrize(("channels", "products"), [(48, 16), (8, 1)])
def test_a_cpu_takes_it_where_it_pays_and_accelerators_never(channels, products):
    layer = Convolution(channels, channels, (3, 3), rngs=nnx.Rngs(0))
    traced = jax.jit(layer).trace(jnp.zeros((1, 16, 16, channels)))
    for platform, count in ("cpu", products), ("tpu", 1), ("cuda", 1):
        text = traced.lower(lowering_platforms=(platform,)).as_text()
        assert text.count("stablehlo.convolution") == count

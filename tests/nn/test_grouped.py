"""Convolutions of groups, as a CPU has them, are XLA's own."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from avits_jax.nn import convolution, grouped
from avits_jax.nn.convolution import Convolution


def _normal(seed: int, *shape: int) -> jax.Array:
    return jax.random.normal(jax.random.key(seed), shape)


@pytest.mark.parametrize(
    ("inward", "outward", "groups", "merged"),
    [(4, 4, 32, 4), (2, 6, 3, 1), (12, 12, 6, 3), (16, 8, 2, 2), (1, 2, 8, 1)],
)
@pytest.mark.parametrize("size", [(3, 3), (1, 2, 2)])
def test_merged_groups_are_the_groups(inward, outward, groups, merged, size):
    x = _normal(0, 2, *(3, 6, 5)[-len(size) :], inward * groups)
    kernel = _normal(1, *size, inward, outward * groups)
    strides, margins = (1, 2, 1)[-len(size) :], ((1, 0),) * len(size)
    wide, fewer = grouped.merge(kernel, groups)
    assert fewer == merged
    plain = convolution._plain(x, kernel, strides, margins, groups)
    ours = convolution._plain(x, wide, strides, margins, fewer)
    np.testing.assert_allclose(ours, plain, atol=3e-5)
    layer = convolution.convolve(x, kernel, strides, margins, groups)
    np.testing.assert_allclose(layer, plain, atol=3e-5)


@pytest.mark.parametrize("size", [(3, 5), (1, 1), (2, 3, 1)])
@pytest.mark.parametrize("stride", [1, 2])
def test_channels_by_themselves_are_sums_of_shifted_arrays(size, stride):
    x = _normal(0, 2, *(4, 7, 6)[-len(size) :], 9)
    kernel = _normal(1, *size, 1, 9)
    strides, margins = (stride,) * len(size), ((1, 0), (0, 2), (2, 1))[-len(size) :]
    ours = convolution.convolve(x, kernel, strides, margins, 9)
    plain = convolution._plain(x, kernel, strides, margins, 9)
    assert ours.shape == plain.shape
    np.testing.assert_allclose(ours, plain, atol=1e-5)
    gradient = jax.grad(
        lambda x: convolution.convolve(x, kernel, strides, margins, 9).sum()
    )
    assert jnp.isfinite(gradient(x)).all()


def test_sums_of_short_numbers_are_long():
    x, kernel = _normal(0, 1, 9, 9, 4), _normal(1, 5, 5, 1, 4)
    x, kernel = x.astype(jnp.bfloat16), kernel.astype(jnp.bfloat16)
    ours = grouped.convolve_by_channel(x, kernel, (1, 1))
    wide = (each.astype(jnp.float32) for each in (x, kernel))
    exact = grouped.convolve_by_channel(*wide, (1, 1))
    assert ours.dtype == jnp.bfloat16
    np.testing.assert_array_equal(ours, exact.astype(jnp.bfloat16))


@pytest.mark.parametrize(
    ("inward", "outward", "window", "taken"),
    [(1, 8, (4, 8), True), (1, 8, (4, 9), False), (1, 16, (3, 3), False)]
    + [(2, 8, (3, 3), False)],
)
def test_long_sums_are_left_to_xla(inward, outward, window, taken):
    kernel = jnp.zeros((*window, inward, outward))
    assert grouped.is_by_channel(kernel, 8) == taken


@pytest.mark.parametrize(("groups", "merged"), [(32, 4), (128, None)])
def test_accelerators_have_their_own_groups(groups, merged):
    layer = Convolution(128, 128, (3, 3), groups=groups, rngs=nnx.Rngs(0))
    traced = jax.jit(layer).trace(jnp.zeros((1, 8, 8, 128)))
    for platform, expected in ("cpu", merged), ("tpu", groups), ("cuda", groups):
        text = traced.lower(lowering_platforms=(platform,)).as_text()
        told = f"feature_group_count = {expected} "
        assert told in text if expected else "stablehlo.convolution" not in text

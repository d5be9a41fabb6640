"""HiFi-GAN's layers."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from avits_jax.networks.hifigan import HifiGanConfig, Upsample


@pytest.mark.parametrize(
    ("kernel", "rate", "length"), [(16, 6, 5), (8, 2, 3), (16, 5, 6), (4, 4, 1)]
)
def test_upsampling_is_a_transposed_convolution(kernel, rate, length):
    layer = Upsample(3, 4, kernel, rate, rngs=nnx.Rngs(0))
    layer.bias[...] = jnp.arange(4.0)
    x = jax.random.normal(jax.random.key(1), (2, length, 3))
    margin = kernel - 1 - (kernel - rate) // 2
    expected = jax.lax.conv_general_dilated(
        x,
        layer.kernel[...],
        (1,),
        [(margin, margin)],
        lhs_dilation=(rate,),
        dimension_numbers=("NWC", "WIO", "NWC"),
    )
    got = layer(x)
    config = HifiGanConfig(upsample_rates=(rate,), upsample_kernels=(kernel,))
    assert got.shape == (2, config.num_samples(length), 4)
    np.testing.assert_allclose(got, expected + jnp.arange(4.0), atol=1e-5)

"""Linear layers that compute in the dtype of what they are given."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from avits_jax.nn.linear import linear

X = jax.random.normal(jax.random.key(0), (5, 8))


@pytest.mark.parametrize("stored", [jnp.float32, jnp.bfloat16, jnp.float8_e4m3fn])
@pytest.mark.parametrize("given", [jnp.float32, jnp.bfloat16])
def test_weights_are_cast_where_they_are_used(stored, given):
    layer = linear(8, 3, rngs=nnx.Rngs(0))
    layer.kernel.set_value(layer.kernel[...].astype(stored))
    out = layer(X.astype(given))
    assert out.dtype == given and layer.kernel.dtype == stored
    expected = X.astype(given) @ layer.kernel[...].astype(given)
    np.testing.assert_allclose(
        out.astype(jnp.float32), expected.astype(jnp.float32), atol=1e-2
    )


def test_sums_can_be_float32():
    layer = linear(8, 3, use_bias=False, result=jnp.float32, rngs=nnx.Rngs(0))
    out = layer(X.astype(jnp.bfloat16))
    assert out.dtype == jnp.float32
    assert (out != out.astype(jnp.bfloat16)).any()

"""GroupNorm against Flax's, whose weights it takes."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from avits_jax.nn.group_norm import GroupNorm


def _pair(channels: int, groups: int, dtype) -> tuple[nnx.GroupNorm, GroupNorm]:
    """Both, with the same random weights."""
    flax = nnx.GroupNorm(
        channels, groups, epsilon=1e-5, use_fast_variance=False, rngs=nnx.Rngs(0)
    )
    ours = GroupNorm(channels, groups, 1e-5, rngs=nnx.Rngs(0))
    keys = jax.random.split(jax.random.key(1))
    weights = [jax.random.normal(key, (channels,)).astype(dtype) for key in keys]
    for network in (flax, ours):
        network.scale[...], network.bias[...] = weights
    return flax, ours


@pytest.mark.parametrize(
    ("shape", "dtype"),
    [
        ((2, 5, 7, 12), jnp.float32),
        ((3, 4, 5, 6, 8), jnp.float32),
        ((2, 5, 7, 12), jnp.bfloat16),
    ],
)
def test_is_flax_up_to_rounding(shape, dtype):
    flax, ours = _pair(shape[-1], 4, dtype)
    assert jax.tree.structure(nnx.to_pure_dict(nnx.state(flax))) == (
        jax.tree.structure(nnx.to_pure_dict(nnx.state(ours)))
    )
    x = (5 + jax.random.normal(jax.random.key(0), shape)).astype(dtype)
    wanted, found = jax.jit(flax)(x), jax.jit(ours)(x)
    assert found.dtype == wanted.dtype
    rounding = 2e-5 if dtype == jnp.float32 else 4e-2
    np.testing.assert_allclose(
        *(np.asarray(y, np.float32) for y in (found, wanted)), atol=rounding
    )


def test_a_large_mean_does_not_swallow_the_variance():
    x = 1e4 + jax.random.normal(jax.random.key(0), (1, 64, 8))
    _, ours = _pair(8, 2, jnp.float32)
    ours.scale[...], ours.bias[...] = jnp.ones(8), jnp.zeros(8)
    assert jnp.std(jax.jit(ours)(x)) == pytest.approx(1, rel=1e-2)


def test_groups_must_divide_channels():
    with pytest.raises(ValueError, match="groups must divide the 10 channels, got 4"):
        GroupNorm(10, 4, 1e-5, rngs=nnx.Rngs(0))

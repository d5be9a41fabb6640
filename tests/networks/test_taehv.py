"""TAEHV's decoder: golden, full size and cost, what a frame sees."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from goldens import assert_golden, golden_cases
from network_helpers import jitted, with_dtype

from avits_jax.networks.taehv import sharding
from avits_jax.networks.taehv.config import TaehvConfig
from avits_jax.networks.taehv.modeling import TaehvDecoder
from avits_jax.networks.taehv.params import build
from avits_jax.parallel.flops import count_flops
from avits_jax.parallel.sharding import param_shardings
from tools.parity.ltx2_taehv import load_taehv

GOLDEN = golden_cases("ltx2", "taehv")[0].values[0]


@pytest.fixture(scope="module")
def network():
    graph, params = nnx.split(load_taehv(GOLDEN))
    run = jax.jit(lambda params, x: nnx.merge(graph, params).decode(x))
    latents = jnp.moveaxis(GOLDEN.inputs["latents"], 2, -1)
    return graph, params, run, jnp.concatenate([latents, -latents])


def test_taehv_meets_the_golden():
    assert_golden(GOLDEN)


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
def test_full_size_decodes_a_clip_for_little(dtype):
    graph, like = build(TaehvConfig())
    assert sum(leaf.size for leaf in jax.tree.leaves(like)) == 10_194_160
    latents = jax.ShapeDtypeStruct((1, 16, 16, 24, 128), jnp.float32)
    traced = jax.jit(lambda params, x: nnx.merge(graph, params).decode(x)).trace(
        with_dtype(like, dtype), latents
    )
    assert traced.out_info.shape == (1, 121, 512, 768, 3)
    assert traced.out_info.dtype == jnp.float32
    # The video autoencoder's decoder takes 117.5e12.
    assert count_flops(traced.jaxpr) < 0.01 * 117.5e12


def test_a_clip_ignores_its_neighbours_and_compilation(network):
    graph, params, run, latents = network
    both = run(params, latents)
    assert both.shape == (2, 9, 16, 32, 3)
    assert 0 <= both.min() < both.max() <= 1
    beside = run(params, latents.at[0].multiply(-2))
    np.testing.assert_array_equal(beside[1], both[1])
    # One stage stands for all; the whole network takes seconds without compilation.
    model = nnx.merge(graph, params)
    x = model.enter(latents)
    compiled = jitted(graph, lambda model, x: model.stages[0](x))(params, x)
    np.testing.assert_allclose(model.stages[0](x), compiled, atol=1e-5)


def test_frames_see_what_was_before(network):
    _, params, run, latents = network
    frames = run(params, latents)
    later = run(params, latents.at[:, 1].add(1.0))
    np.testing.assert_array_equal(frames[:, 0], later[:, 0])
    earlier = run(params, latents.at[:, 0].add(1.0))
    assert np.all(jnp.abs(frames - earlier).max((0, 2, 3, 4)) > 1e-4)


def test_bfloat16_stays_near(network):
    _, params, run, latents = network
    exact = run(params, latents)
    halved = jax.tree.map(lambda x: x.astype(jnp.bfloat16), params)
    found = run(halved, latents)
    assert found.dtype == jnp.float32
    error = jnp.sqrt(jnp.mean((found - exact) ** 2) / jnp.mean(exact**2))
    assert 1e-4 < error < 0.02


def test_other_factors_and_no_growth():
    config = TaehvConfig(4, (6, 5, 4, 3), (1, 2, 1), (2, 1, 3), 1, 2)
    graph, like = build(config)
    latents = jax.ShapeDtypeStruct((2, 3, 2, 1, 4), jnp.float32)
    found = jax.eval_shape(lambda p, x: nnx.merge(graph, p).decode(x), like, latents)
    assert found.shape == (2, 5, 12, 6, 2)


def test_wrong_sizes_are_refused(network):
    graph, params, _, latents = network
    with pytest.raises(ValueError, match=r"\[N, f, h, w, 7\], got \[2, 2, 1, 2, 6\]"):
        nnx.merge(graph, params).decode(latents[..., :6])
    with pytest.raises(ValueError, match=r"must have 4, 3 and 3 entries, got"):
        TaehvDecoder(TaehvConfig(time=(2, 2)), rngs=nnx.Rngs(0))


def test_weights_split_over_sixteen_devices():
    like = build(TaehvConfig())[1]
    mesh = jax.sharding.AbstractMesh((1, 16), ("data", "model"))
    shardings = param_shardings(like, mesh, sharding.RULES)
    held = jax.tree.map(lambda x, s: np.prod(s.shard_shape(x.shape)), like, shardings)
    assert sum(jax.tree.leaves(held)) < 1_000_000

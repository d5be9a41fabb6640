"""LTX-2's latent upsamplers: golden, every published form, full size, filters."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from goldens import assert_golden, golden_cases
from network_helpers import jitted, random_network, with_dtype

from avits_jax.generators.ltx2.upsampler import filters, sharding
from avits_jax.generators.ltx2.upsampler.config import (
    SPATIAL_1_5,
    TEMPORAL,
    UpsamplerConfig,
    published_config,
)
from avits_jax.generators.ltx2.upsampler.modeling import Upsampler, blur
from avits_jax.generators.ltx2.upsampler.params import IGNORED, RULES, build
from avits_jax.parallel.sharding import param_shardings
from avits_jax.weights import name_map

PLAIN = {"mid_channels": 1024, "rational_resampler": False}
TINY = UpsamplerConfig(channels=3, width=8, num_blocks=2, norm_groups=4)
# Of LTX-2.0's spatial file, LTX-2.3's, spatial x1.5, and temporal.
FORMS = {
    "rational": (
        UpsamplerConfig(),
        {"spatial_scale": 2.0, "rational_resampler": True},
        497_867_904,
    ),
    "plain": (UpsamplerConfig(), PLAIN, 497_867_904),
    "x1.5": (
        SPATIAL_1_5,
        {"spatial_scale": 1.5, "rational_resampler": True},
        545_058_944,
    ),
    "temporal": (
        TEMPORAL,
        {"mid_channels": 512, "spatial_upsample": False, "temporal_upsample": True},
        130_968_192,
    ),
}


@pytest.mark.parametrize("golden", golden_cases("ltx2", "latent_upsampler"))
def test_upsampler_meets_the_golden(golden):
    assert_golden(golden)


def published_shapes(config, rational):
    """Names and shapes of a published file."""
    width, blocks = config.width, range(config.num_blocks)
    parts = [f"res_blocks.{i}" for i in blocks]
    parts += [f"post_upsample_res_blocks.{i}" for i in blocks]
    pairs = itertools.product(parts, (1, 2))
    convs = {f"{part}.conv{i}": (width, width, 3, 3, 3) for part, i in pairs}
    norms = [name.replace("conv", "norm") for name in convs] + ["initial_norm"]
    wide = width * config.time * config.space**2
    window = (3, 3, 3) if config.time == 2 else (3, 3)
    shuffled = "upsampler.conv" if rational else "upsampler.0"
    convs[shuffled] = (wide, width, *window)
    convs["initial_conv"] = (width, config.channels, 3, 3, 3)
    convs["final_conv"] = (config.channels, width, 3, 3, 3)
    shapes = {f"{name}.weight": shape for name, shape in convs.items()}
    shapes |= {f"{name}.bias": shape[:1] for name, shape in convs.items()}
    shapes |= {
        f"{name}.{kind}": (width,) for name in norms for kind in ("weight", "bias")
    }
    return shapes | ({"upsampler.blur_down.kernel": (1, 1, 5, 5)} if rational else {})


@pytest.mark.parametrize("form", FORMS)
def test_published_files_fit_at_full_size(form):
    config, values, size = FORMS[form]
    assert published_config(values) == config
    like = build(config)[1]
    assert sum(leaf.size for leaf in jax.tree.leaves(like)) == size
    shapes = published_shapes(config, form in ("rational", "x1.5"))
    entries = {name: [shape, "float32"] for name, shape in shapes.items()}
    plan = name_map.make_plan(name_map.shapes_of(entries), like, RULES, IGNORED)
    assert len(plan.ignored) == (form in ("rational", "x1.5"))


@pytest.mark.parametrize(
    ("form", "after"),
    [("plain", (16, 16, 24)), ("x1.5", (16, 12, 18)), ("temporal", (31, 8, 12))],
)
@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
def test_full_size_lowers(form, after, dtype):
    graph, like = build(FORMS[form][0])
    latents = jax.ShapeDtypeStruct((1, 16, 8, 12, 128), jnp.float32)
    found = jax.eval_shape(
        lambda params, x: nnx.merge(graph, params)(x), with_dtype(like, dtype), latents
    )
    assert found.shape == (1, *after, 128) and found.dtype == jnp.float32


def test_diffusers_config_means_the_same():
    assert published_config({"rational_spatial_scale": None}) == UpsamplerConfig()
    assert published_config({"rational_spatial_scale": 1.5}) == SPATIAL_1_5
    temporal = {"spatial_upsample": False, "temporal_upsample": True}
    found = published_config(
        {**temporal, "mid_channels": 512, "rational_spatial_scale": 2.0}
    )
    assert found == TEMPORAL


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"dims": 2}, "dims must be 3"),
        ({"spatial_scale": 1.5}, "scale 1.5"),
        ({"spatial_scale": 3, "rational_resampler": True}, "scale 3"),
        ({"spatial_upsample": False}, "time and space are both 1"),
        ({"mid_channels": 100}, "norm_groups must divide width 100"),
    ],
)
def test_what_nobody_published_is_refused(values, message):
    with pytest.raises(ValueError, match=message):
        published_config(values)


@pytest.fixture(scope="module")
def network():
    """Graph, weights, a program of plain and filtered results, and latents."""
    graph, params = random_network(lambda rngs: Upsampler(TINY, rngs=rngs))
    # Filters of 27 positions: an input as large as the outputs.
    params = jax.tree.map(lambda x: x / 3 if x.ndim > 4 else x, params)
    run = jitted(graph, lambda model, x: (model(x), model(x, 0.4), model(x, 0.4, 0.6)))
    return graph, params, run, jax.random.normal(jax.random.key(0), (2, 2, 3, 2, 3))


def test_a_clip_ignores_its_neighbours_and_compilation(network):
    graph, params, run, latents = network
    found = run(params, latents)[0]
    assert found.shape == (2, 2, 6, 4, 3)
    beside = run(params, latents.at[0].multiply(-2))[0]
    np.testing.assert_array_equal(beside[1], found[1])
    assert np.abs(beside[0] - found[0]).max() > 0.1
    np.testing.assert_allclose(nnx.merge(graph, params)(latents), found, atol=1e-5)


def test_bfloat16_stays_near(network):
    _, params, run, latents = network
    exact = run(params, latents)[0]
    halved = jax.tree.map(lambda x: jnp.asarray(x, jnp.bfloat16), params)
    found = run(halved, latents)[0]
    assert found.dtype == jnp.float32
    error = jnp.sqrt(jnp.mean((found - exact) ** 2) / jnp.mean(exact**2))
    assert 1e-4 < error < 0.03


def test_options_are_applied_to_the_result(network):
    _, params, run, latents = network
    raw, drawn, both = run(params, latents)
    expected = filters.match_statistics(raw, latents, 0.4)
    assert jnp.abs(drawn - raw).max() > 0.1
    np.testing.assert_allclose(drawn, expected, atol=1e-5)
    np.testing.assert_allclose(both, filters.tone_map(expected, 0.6), atol=1e-5)


def test_matched_statistics_are_the_references():
    rng = np.random.default_rng(0)
    x = jnp.asarray(rng.normal(2, 3, (2, 2, 4, 4, 3)), jnp.float32)
    reference = jnp.asarray(rng.normal(-1, 2, (2, 2, 2, 2, 3)), jnp.float32)
    found = np.asarray(filters.match_statistics(x, reference))
    axes = (1, 2, 3)
    want = np.asarray(reference)
    np.testing.assert_allclose(found.mean(axes), want.mean(axes), atol=1e-5)
    np.testing.assert_allclose(
        found.std(axes, ddof=1), want.std(axes, ddof=1), atol=1e-5
    )


def test_wrong_arguments_are_refused(network):
    model = nnx.merge(*network[:2])
    with pytest.raises(ValueError, match=r"\[N, f, h, w, 3\], got \[2, 2, 3, 2, 4\]"):
        model(jnp.zeros((2, 2, 3, 2, 4)))
    with pytest.raises(ValueError, match=r"in \[0, 1\], got 1.5"):
        filters.tone_map(jnp.zeros((1, 1, 1, 1, 3)), 1.5)


def test_blur_is_the_binomial_of_padded_pixels():
    x = np.random.default_rng(0).normal(size=(1, 2, 9, 5, 2)).astype(np.float32)
    found = blur(jnp.asarray(x), 2)
    weights = np.outer([1, 4, 6, 4, 1], [1, 4, 6, 4, 1]) / 256
    padded = np.pad(x, ((0, 0), (0, 0), (2, 2), (2, 2), (0, 0)))
    assert found.shape == (1, 2, 5, 3, 2)
    for row, column in itertools.product(range(5), range(3)):
        window = padded[:, :, 2 * row : 2 * row + 5, 2 * column : 2 * column + 5]
        expected = np.einsum("nfhwc,hw->nfc", window, weights)
        np.testing.assert_allclose(found[:, :, row, column], expected, atol=1e-5)


@pytest.mark.parametrize("form", FORMS)
def test_a_device_of_sixteen_holds_its_share(form):
    like = build(FORMS[form][0])[1]
    mesh = jax.sharding.AbstractMesh((1, 16), ("data", "model"))
    shardings = param_shardings(like, mesh, sharding.RULES)
    whole = sum(leaf.size for leaf in jax.tree.leaves(like))
    held = sum(
        np.prod(sharding.shard_shape(leaf.shape))
        for leaf, sharding in zip(
            jax.tree.leaves(like), jax.tree.leaves(shardings), strict=True
        )
    )
    assert held < 1.01 * whole / 16

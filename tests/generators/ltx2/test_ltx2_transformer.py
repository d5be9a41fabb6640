"""LTX-2's transformer: goldens, rows of branches, reduced precision, bad arguments."""

import functools
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from goldens import assert_golden, golden_cases
from network_helpers import random_network

from avits_jax.generators.ltx2.streams import Streams
from avits_jax.generators.ltx2.transformer import positions
from avits_jax.generators.ltx2.transformer.branches import Branch
from avits_jax.generators.ltx2.transformer.config import StreamConfig, TransformerConfig
from avits_jax.generators.ltx2.transformer.modeling import Transformer
from avits_jax.generators.ltx2.transformer.rotary import rotary_tables
from tools.parity.ltx2_transformer import (
    cast_float8,
    is_float8,
    load_transformer,
    only_float8,
    run_rows,
)
from tools.parity.modules import QUICK

TINY = TransformerConfig(
    StreamConfig(channels=6, heads=2, head_width=8),
    StreamConfig(channels=5, heads=2, head_width=4, limits=(20.0,)),
    depth=2,
    perturbed_block=1,
)
CAPTIONED = TransformerConfig(
    TINY.video,
    TINY.audio,
    depth=2,
    caption_width=10,
    gated=False,
    text_modulated=False,
    perturbed_block=1,
)
GUIDED = (Branch(), Branch(1), Branch(perturbed=True), Branch(isolated=True))
GRID, SOUND, TEXT = (2, 1, 3), 4, 5
CASES = golden_cases("ltx2", "av_transformer") + golden_cases("ltx2", "positions")


@pytest.mark.parametrize("golden", CASES)
def test_golden(golden):
    assert_golden(golden)


@functools.cache
def network(config=TINY):
    return random_network(lambda rngs: Transformer(config, rngs=rngs))


def draw(*shape):
    return jnp.asarray(np.random.default_rng(shape).normal(size=shape), jnp.float32)


def inputs(rows, prompts=2, config=TINY):
    """Latents of as many rows, alike within a candidate's branches, and texts."""
    sizes = (6, config.video), (SOUND, config.audio)
    latents = Streams(*(draw(rows, n, each.channels) for n, each in sizes))
    widths = (config.caption_width or each.width for _, each in sizes)
    return latents, Streams(*(draw(prompts, TEXT, width) for width in widths))


def predict(params, latents, texts, sigmas, *, branches=GUIDED, config=TINY):
    model = nnx.merge(network(config)[0], params)
    tables = rotary_tables(
        config, positions.video_positions(GRID, 24.0), positions.audio_positions(SOUND)
    )
    levels = jax.tree.map(lambda x: x[:, None], sigmas)
    context = model.prepare_context(texts)
    return model(latents, levels, None, sigmas, context, tables, branches=branches)


run = jax.jit(predict, static_argnames=("branches", "config"), compiler_options=QUICK)
SIGMAS = Streams(jnp.array([0.7]), jnp.array([0.4]))


def assert_near(found, wanted, tolerance=2e-5):
    jax.tree.map(
        lambda x, y: np.testing.assert_allclose(x, y, atol=tolerance), found, wanted
    )


def rows_of(tree, *which):
    return jax.tree.map(lambda x: x[jnp.array(which)], tree)


@pytest.mark.parametrize(
    ("config", "index"),
    [(TINY, 3), (CAPTIONED, 1)],
    ids=["2.3", "2.0"],
)
def test_branches_of_a_batch_are_separate_calls(config, index):
    latents, texts = inputs(8, config=config)
    call = functools.partial(run, network(config)[1], config=config)
    together = call(latents, texts, SIGMAS)
    assert together.video.dtype == jnp.float32
    one = rows_of(latents, 4 + index)
    alone = call(one, texts, SIGMAS, branches=GUIDED[index : index + 1])
    assert_near(alone, rows_of(together, 4 + index))
    same = rows_of(latents, *([4] * 8))
    four = call(same, texts, SIGMAS).video[:4]
    assert min(np.abs(one - four[0]).max() for one in four[1:]) > 1e-3


def test_every_row_has_its_own_noise_level():
    latents, texts = inputs(8)
    params = network()[1]
    levels = Streams(
        *(np.linspace(*ends, 8, dtype=np.float32) for ends in ((0.2, 0.9), (1, 0.1)))
    )
    together = run(params, latents, texts, levels)
    for row in (1, 7):
        own = rows_of(levels, row)
        alone = run(params, latents, texts, own)
        assert_near(rows_of(together, row), rows_of(alone, row))
    swapped = run(params, latents, texts, Streams(*levels[::-1]))
    assert np.abs(swapped.video - together.video).max() > 1e-3


def test_a_candidate_ignores_its_neighbour():
    latents, texts = inputs(8)
    params = network()[1]
    before = run(params, latents, texts, SIGMAS)
    other = jax.tree.map(lambda x: jnp.concatenate([x[:4], 2 * x[4:]]), latents)
    after = run(params, other, texts, SIGMAS)
    for one, two in zip(before, after, strict=True):
        np.testing.assert_array_equal(one[:4], two[:4])


def test_vmap_over_prompts_is_a_loop_over_them():
    latents, texts = inputs(4, prompts=4)
    params = network()[1]
    pairs = jax.tree.map(lambda x: x.reshape(2, 2, *x.shape[1:]), texts)
    many = jax.jit(jax.vmap(predict, (None, None, 0, None)), compiler_options=QUICK)
    together = many(params, latents, pairs, SIGMAS)
    for index in range(2):
        own = jax.tree.map(lambda x, index=index: x[index], pairs)
        alone = run(params, latents, own, SIGMAS)
        assert_near(jax.tree.map(lambda x, index=index: x[index], together), alone)


def test_float8_is_stored_and_cast_where_it_is_used():
    latents, texts = inputs(8)
    params = network()[1]
    eight = cast_float8(params)
    stored = {str(x.dtype) for x in jax.tree.leaves(only_float8(eight))}
    assert stored == {"float8_e4m3fn"} and not is_float8("blocks/video/own/gate/kernel")
    rounded = jax.tree.map(lambda x: x.astype(np.float32), eight)
    found = run(eight, latents, texts, SIGMAS)
    assert_near(found, run(rounded, latents, texts, SIGMAS), 5e-6)


def test_reduced_precision_stays_near():
    """Three times what the original in bfloat16 is away from itself in float32."""
    (case,) = golden_cases("ltx2", "av_transformer_2_3")
    (golden,) = case.values
    graph, params = nnx.split(load_transformer(golden))
    half = jax.tree.map(lambda x: x.astype(jnp.bfloat16), params)
    found = run_rows(nnx.merge(graph, half), golden.inputs).velocities
    for stream, most in Streams(video=0.0103, audio=0.0088)._asdict().items():
        wanted = golden.arrays[f"base.{stream}_velocity"]
        error = getattr(found, stream)[: len(wanted)] - wanted
        assert jnp.sqrt(jnp.mean(error**2) / jnp.mean(wanted**2)) < 3 * most


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"branches": ()},
            "latents have 4 rows; expected a multiple of the 0 branches",
        ),
        ({"branches": GUIDED[:3]}, "expected a multiple of the 3 branches"),
        ({"branches": (Branch(2),)}, "branches read prompt 2; there are 2"),
        ({"sigmas": Streams(jnp.ones(1), jnp.ones(3))}, "levels.audio has 3 rows"),
        (
            {"latents": Streams(draw(4, 6, 6), draw(3, 4, 5))},
            "latents.audio has 3 rows",
        ),
        (
            {"latents": Streams(draw(4, 7, 6), draw(4, 4, 5))},
            "within.video is of 6 tok",
        ),
    ],
)
def test_arguments_that_do_not_fit(change, message):
    latents, texts = inputs(4)
    usual = {"latents": latents, "texts": texts, "sigmas": SIGMAS} | change
    with pytest.raises(ValueError, match=re.escape(message)):
        predict(network()[1], **usual)


def test_positions_and_heads_that_do_not_fit():
    where = positions.audio_positions(SOUND)
    with pytest.raises(ValueError, match=re.escape("expected [tokens, 3, 2]")):
        rotary_tables(TINY, where, where)
    with pytest.raises(ValueError, match="head_width must be even, got 3"):
        StreamConfig(head_width=3)

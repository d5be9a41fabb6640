"""LTX-2's transformers at 512 x 768 x 121, by shapes: weights, operations, kernels."""

import functools
import math

import goldens  # noqa: F401  (makes tools importable)
import jax
import jax.numpy as jnp
import pytest
from flax import nnx
from jax.sharding import AbstractMesh

from avits_jax.generators.ltx2.streams import Streams
from avits_jax.generators.ltx2.transformer import positions, sharding
from avits_jax.generators.ltx2.transformer.branches import Branch
from avits_jax.generators.ltx2.transformer.config import LTX_2_0, TransformerConfig
from avits_jax.generators.ltx2.transformer.flops import step_flops, text_flops
from avits_jax.generators.ltx2.transformer.modeling import Transformer
from avits_jax.generators.ltx2.transformer.rotary import rotary_tables
from avits_jax.nn.abstract import abstract
from avits_jax.parallel.flops import count_flops
from avits_jax.parallel.sharding import param_shardings
from tools.absent_gpu import absent_gpu

LTX_2_3 = TransformerConfig()
ALONE, ISOLATED = (Branch(),), (Branch(isolated=True),)
GUIDED = (*ALONE, Branch(text=1), Branch(perturbed=True), *ISOLATED)
GRID, TOKENS, TEXT = (16, 16, 24), Streams(6144, 126), 1024
# Parameters that every device may hold a copy of.
MOST_COPIED = 5_000_000


@functools.cache
def network(config):
    graph, like = abstract(lambda rngs: Transformer(config, rngs=rngs))
    half = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, jnp.bfloat16), like)
    return graph, half


def trace(config, branches):
    """One call with what it prepares, for one candidate in bfloat16."""
    graph, params = network(config)

    def call(params, latents, levels, sigmas, texts):
        model = nnx.merge(graph, params)
        where = positions.video_positions(GRID, 24.0), positions.audio_positions(126)
        context = model.prepare_context(texts)
        tables = rotary_tables(config, *where)
        return model(latents, levels, None, sigmas, context, tables, branches=branches)

    def shape(*sizes, dtype=jnp.float32):
        return jax.ShapeDtypeStruct(sizes, dtype)

    streams = config.video, config.audio
    latents = Streams(
        *(
            shape(len(branches), count, each.channels)
            for count, each in zip(TOKENS, streams, strict=True)
        )
    )
    prompts = len({branch.text for branch in branches})
    widths = (config.caption_width or each.width for each in streams)
    texts = Streams(
        *(shape(prompts, TEXT, width, dtype=jnp.bfloat16) for width in widths)
    )
    level, sigma = shape(1, 1), shape(1)
    pairs = Streams(level, level), Streams(sigma, sigma)
    return jax.jit(call).trace(params, latents, *pairs, texts)


@pytest.mark.parametrize(
    ("config", "count"),
    [(LTX_2_0, 18_876_174_592), (LTX_2_3, 18_988_838_144)],
    ids=["19B", "22B"],
)
def test_the_weights_are_as_many_as_published_and_split_over_devices(config, count):
    _, like = network(config)
    leaves = jax.tree.leaves(like)
    assert sum(math.prod(leaf.shape) for leaf in leaves) == count
    for devices in (8, 16):
        mesh = AbstractMesh((2, devices), ("candidate", "model"))
        split = jax.tree.leaves(param_shardings(like, mesh, sharding.RULES))
        copied = sum(
            math.prod(leaf.shape)
            for leaf, one in zip(leaves, split, strict=True)
            if one.is_fully_replicated
        )
        assert copied <= MOST_COPIED


@pytest.mark.parametrize(
    ("config", "branches", "published"),
    [
        (LTX_2_0, ALONE, 200.2e12),
        (LTX_2_3, ALONE, 201.0e12),
        (LTX_2_3, ISOLATED, 180.3e12),
    ],
    ids=["19B", "22B", "isolated"],
)
def test_operations_are_those_of_the_original(config, branches, published):
    """Of which modulation per token, 1%, is done per noise level here."""
    counted = count_flops(trace(config, branches).jaxpr)
    assert 1 / 1.02 < counted / published < 1.02
    stated = step_flops(config, TOKENS, TEXT, branches)
    if not config.text_modulated:
        stated += text_flops(config, TEXT)
        stated += (
            2
            * TEXT
            * sum(
                (config.caption_width + each.width) * each.width
                for each in (config.video, config.audio)
            )
        )
    assert stated == pytest.approx(counted, rel=1e-3)


def test_a_guided_step_keeps_its_operations_and_writes_no_logits():
    with absent_gpu():
        traced = trace(LTX_2_3, GUIDED)
        cuda, tpu = (
            traced.lower(lowering_platforms=(name,)).as_text()
            for name in ("cuda", "tpu")
        )
    assert traced.out_info == Streams(
        *(jax.ShapeDtypeStruct((4, count, 128), jnp.float32) for count in TOKENS)
    )
    counted = count_flops(traced.jaxpr)
    assert 1 / 1.02 < counted / 782e12 < 1.02
    assert step_flops(LTX_2_3, TOKENS, TEXT, GUIDED) == pytest.approx(counted, rel=1e-3)
    # Of both streams to themselves, to the text and to each other.
    assert cuda.count("__cudnn$fmhaSoftmax") == 6 and "fmhaScaleBias" not in cuda
    assert tpu.count("tpu_custom_call") == 2
    for text in (cuda, tpu):
        assert "6144x6144" not in text
    assert "4x6144x32x128xbf16" in cuda  # attention of all rows in one batch

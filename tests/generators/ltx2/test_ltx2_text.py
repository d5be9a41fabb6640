"""LTX-2's text encoder: goldens, one pass over states, both full sizes."""

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any, NamedTuple

import goldens
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from jax.sharding import AbstractMesh
from network_helpers import jitted, random_network, with_dtype

from avits_jax.generators.ltx2.text.config import (
    CONNECTORS_2_0,
    TEXT_2_0,
    TINY,
    ConnectorsConfig,
    HeadsConfig,
    TextConfig,
)
from avits_jax.generators.ltx2.text.connectors import place_registers
from avits_jax.generators.ltx2.text.features import normalise_prompt
from avits_jax.generators.ltx2.text.modeling import TextEncoder
from avits_jax.generators.ltx2.text.params import (
    IGNORED,
    build,
    connector_rules,
    text_rules,
)
from avits_jax.generators.ltx2.text.sharding import RULES as SPLIT
from avits_jax.parallel.sharding import param_shardings
from avits_jax.weights.name_map import make_plan

OLD = TextConfig(
    TINY.gemma,
    ConnectorsConfig(
        HeadsConfig(2, 8),
        HeadsConfig(4, 4),
        depth=1,
        registers=8,
        gated=False,
        shared=True,
    ),
)
IDS = jnp.array([[0, 0, 0, 2, 9, 31, 7, 40], [2, 11, 50, 3, 8, 9, 60, 33]])
FP8 = jnp.float8_e4m3fn
LENGTHS = jnp.array([5, 8])


class Encoder(NamedTuple):
    graph: Any
    params: Any
    run: Callable[..., Any]


@pytest.fixture(scope="module", params=[TINY, OLD], ids=["2.3", "2.0"])
def encoder(request):
    graph, params = random_network(lambda rngs: TextEncoder(request.param, rngs=rngs))
    run = jitted(graph, lambda model, *args: model(*args))
    return Encoder(graph, jax.tree.map(jnp.asarray, params), run)


@pytest.mark.parametrize("golden", goldens.golden_cases("ltx2", "connectors_"))
def test_golden(golden):
    goldens.assert_golden(golden)


def test_one_pass_gives_what_all_states_together_give(encoder):
    """The golden's way, with every state at hand, and the one that keeps none."""
    contexts = encoder.run(encoder.params, IDS, LENGTHS)
    model = nnx.merge(encoder.graph, encoder.params)
    mask = IDS > 0
    features = model.connectors.features(model.gemma(IDS, mask), mask)
    eager = model.connectors.contexts(features, mask)
    for one, other in zip(contexts, eager, strict=True):
        np.testing.assert_allclose(one, other, atol=2e-5)


def test_prompts_of_a_batch_do_not_mix_and_padding_says_nothing(encoder):
    both = encoder.run(encoder.params, IDS, LENGTHS)
    other = jnp.where(IDS > 0, IDS, 13).at[1].set(13)
    changed = encoder.run(encoder.params, other, jnp.array([5, 3]))
    for one, two in zip(both, changed, strict=True):
        assert jnp.isfinite(two).all()
        np.testing.assert_allclose(one[0], two[0], atol=2e-5)
        assert np.abs(one[0] - one[1]).max() > 0.1 < np.abs(one[1] - two[1]).max()


def test_bfloat16_stays_near(encoder):
    wide = encoder.run(encoder.params, IDS, LENGTHS)
    params = jax.tree.map(lambda x: x.astype(jnp.bfloat16), encoder.params)
    narrow = encoder.run(params, IDS, LENGTHS)
    for one, other in zip(wide, narrow, strict=True):
        assert other.dtype == jnp.bfloat16
        assert np.std(one - other.astype(jnp.float32)) < 0.05 * np.std(one)


def test_tokens_go_to_the_front_and_registers_by_place_behind_them():
    x = jnp.arange(1.0, 13).reshape(2, 6, 1)
    mask = jnp.array([[False] * 4 + [True] * 2, [True] * 6])
    registers = jnp.array([[-1.0], [-2.0], [-3.0], [-4.0]])
    placed = place_registers(x, mask, registers)[..., 0]
    assert placed.tolist() == [[5, 6, -3, -4, -1, -2], [7, 8, 9, 10, 11, 12]]


def test_a_prompt_is_normalised_over_its_tokens_alone():
    x = jnp.array([[[100.0, -100], [1, 2], [3, 6]], [[0, 8], [4, 4], [0, 8]]])
    mask = jnp.array([[False, True, True], [True, True, True]])
    out = normalise_prompt(x, mask, 1e-6)
    np.testing.assert_allclose(out[0, 1:], [[-3.2, -1.6], [0, 4.8]], atol=1e-5)
    np.testing.assert_allclose(out[1], [[-4, 4], [0, 0], [-4, 4]], atol=1e-5)


@pytest.mark.parametrize(
    ("config", "count", "widths"),
    [
        (TextConfig(), 3_172_227_584, (4096, 2048)),
        (TEXT_2_0, 1_431_475_200, (3840, 3840)),
    ],
    ids=["2.3", "2.0"],
)
def test_the_published_sizes(config, count, widths):
    graph, like = build(config)
    leaves = jax.tree.leaves(like["connectors"])
    assert sum(math.prod(leaf.shape) for leaf in leaves) == count
    run = jitted(graph, lambda model, *args: model(*args))
    ids = jax.ShapeDtypeStruct((2, 1024), jnp.int32)
    lengths = jax.ShapeDtypeStruct((2,), jnp.int32)
    narrow = with_dtype(like, jnp.bfloat16)
    # As a storage in float8 holds them.
    stored = jax.ShapeDtypeStruct(narrow["gemma"]["layers"]["up"]["kernel"].shape, FP8)
    narrow["gemma"]["layers"]["up"]["kernel"] = stored
    traced = run.trace(narrow, ids, lengths)
    out = traced.out_info
    assert "8,2,1024,3840]" not in str(traced.jaxpr), "states are not kept"
    assert tuple(x.shape for x in out) == tuple((2, 1024, width) for width in widths)
    assert {x.dtype for x in out} == {jnp.dtype(jnp.bfloat16)}
    for devices in (8, 16):
        mesh = AbstractMesh((2, devices), ("candidate", "model"))
        split = jax.tree.leaves(param_shardings(like, mesh, SPLIT))
        pairs = zip(jax.tree.leaves(like), split, strict=True)
        copied = [x for x, s in pairs if x.shape == s.shard_shape(x.shape)]
        assert sum(math.prod(x.shape) for x in copied) < 5_000_000


def test_every_name_of_both_files_has_its_place():
    """Keys of the golden beside those of a published Gemma with pictures."""
    (case,) = goldens.golden_cases("ltx2", "connectors_2_3")
    (gemma,) = goldens.golden_cases("ltx2", "gemma3_text")
    from tools.parity.ltx2_text import connectors_config, gemma3_config

    (golden,), (words,) = case.values, gemma.values
    sizes = connectors_config(golden.info["constructor"]).connectors
    config = TextConfig(gemma3_config(words.info["constructor"]), sizes)
    own = dict(golden.weights)
    for stream, heads in (("video", sizes.video), ("audio", sizes.audio)):
        shape = (heads.width, config.gemma.hidden_size * config.gemma.num_states)
        own[f"feature_extractor.{stream}_aggregate_embed.weight"] = np.zeros(shape)
    prefix = "gemma.language_model.model."
    source = own | {prefix + key: value for key, value in words.weights.items()}
    source["gemma.vision_tower.vision_model.post_layernorm.bias"] = np.zeros(3)
    rules = text_rules(config.gemma.num_states)
    plan = make_plan(source, build(config)[1], rules, IGNORED)
    assert list(plan.ignored) == ["gemma.vision_tower.vision_model.post_layernorm.bias"]


class Unread(NamedTuple):
    """A matrix as a conversion sees it: pieces of it can be read."""

    whole: np.ndarray

    def block(self, axis, start, stop, step):
        return self.whole[(slice(None),) * axis + (slice(start, stop, step),)]


def test_the_state_is_the_fastest_index_of_a_projection():
    layers, last = connector_rules(3)[:2]
    weight = np.arange(2 * 4 * 3).reshape(2, 12)
    stacked, final = layers.convert([weight]), last.convert([weight])
    assert stacked.shape == (2, 4, 2) and final.shape == (4, 2)
    assert stacked[1, 2, 0] == 2 * 3 + 1 and final[3, 1] == 12 + 3 * 3 + 2
    for rule, whole in ((layers, stacked), (last, final)):
        for start, stop in ((0, 1), (1, 2), (0, len(whole))):
            some = rule.transform.rows(Unread(weight), start, stop)
            np.testing.assert_array_equal(some, whole[start:stop])


def test_sizes_that_cannot_be_are_refused():
    with pytest.raises(ValueError, match="video.head_dim must be even, got 3"):
        ConnectorsConfig(video=HeadsConfig(2, 3))
    with pytest.raises(ValueError, match="3840 and 2048 wide"):
        replace(CONNECTORS_2_0, audio=HeadsConfig(32, 64))

"""Gemma-3: all hidden states, what layers see, names in files, the full size."""

import math
from dataclasses import replace

import goldens
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from network_helpers import jitted, random_network, with_dtype

from avits_jax.networks.gemma3 import params as names
from avits_jax.networks.gemma3.config import TINY, Gemma3Config
from avits_jax.networks.gemma3.modeling import Gemma3, sights
from avits_jax.weights.name_map import WeightsError, make_plan

IDS = jnp.array([[0, 0, 0, 2, 9, 31, 7, 40], [2, 11, 50, 3, 8, 9, 60, 33]])
MASK = IDS > 0


@pytest.fixture(scope="module")
def tiny():
    return network(TINY)


def network(config):
    graph, params = random_network(lambda rngs: Gemma3(config, rngs=rngs))
    return jitted(graph, lambda model, *args: model(*args)), params


@pytest.mark.parametrize("golden", goldens.golden_cases("ltx2", "gemma3_text"))
def test_golden(golden):
    goldens.assert_golden(golden)


def test_padding_is_not_looked_at_and_rows_do_not_mix(tiny):
    run, params = tiny
    states = run(params, IDS, MASK)
    assert states.shape == (4, 2, 8, 16)
    other = run(params, jnp.where(MASK, IDS, 13).at[1].set(13), MASK)
    np.testing.assert_allclose(states[:, 0, 3:], other[:, 0, 3:], atol=1e-5)
    assert jnp.isfinite(states).all()
    # Distances count, wherever a prompt lies.
    moved = run(params, jnp.roll(IDS, -2, 1), jnp.roll(MASK, -2, 1))
    np.testing.assert_allclose(states[:, 0, 3:], moved[:, 0, 1:6], atol=1e-4)


def test_a_layer_sees_no_further_than_its_kind_does(tiny):
    # The first two layers of a network see a window of three.
    small = replace(TINY, sliding_window=3, num_hidden_layers=2)
    for (run, params), reach in ((network(small), 2 * 2), (tiny, 7)):
        states = run(params, IDS, MASK)[-1, 1]
        changed = run(params, IDS.at[1, 0].set(5), MASK)[-1, 1]
        moved = np.abs(states - changed).max(-1) > 1e-6
        assert moved[: reach + 1].all() and not moved[reach + 1 :].any()


def test_full_layers_see_everything_and_turn_more_slowly():
    config = replace(TINY, sliding_window=3)
    sight = sights(config, jnp.ones((1, 8), bool))
    near, full = sight.seen[:, 0, 0]
    assert near.sum(1).tolist() == [1, 2, 3, 3, 3, 3, 3, 3]
    np.testing.assert_array_equal(full, np.tril(np.ones((8, 8), bool)))
    # The fastest frequency of both is 1; positions of full layers are divided by 8.
    np.testing.assert_allclose(sight.cos[0, 5, 0, 0], math.cos(5), atol=1e-6)
    np.testing.assert_allclose(sight.cos[1, 5, 0, 0], math.cos(5 / 8), atol=1e-6)
    slow = 5 / 8 * 1e6**-0.75
    np.testing.assert_allclose(sight.sin[1, 5, 0, 3], math.sin(slow), rtol=1e-5)


def test_bfloat16_stays_near(tiny):
    run, params = tiny
    wide = run(params, IDS, MASK)
    narrow = run(jax.tree.map(lambda x: x.astype(jnp.bfloat16), params), IDS, MASK)
    assert narrow.dtype == jnp.bfloat16
    kept = np.asarray(narrow, np.float32)[:, MASK] - np.asarray(wide)[:, MASK]
    assert np.std(kept) < 0.03 * np.std(wide)


VISION = (
    "vision_tower.vision_model.embeddings.patch_embedding.weight",
    "vision_tower.vision_model.encoder.layers.26.self_attn.out_proj.bias",
    "vision_tower.vision_model.post_layernorm.weight",
    "multi_modal_projector.mm_input_projection_weight",
    "multi_modal_projector.mm_soft_emb_norm.weight",
)


@pytest.mark.parametrize(
    ("prefix", "others"),
    [
        ("", ()),
        ("model.", ("lm_head.weight",)),
        ("language_model.model.", (*VISION, "language_model.lm_head.weight")),
        ("model.language_model.", (*(f"model.{v}" for v in VISION), "lm_head.weight")),
    ],
)
def test_names_of_every_published_layout_are_known(prefix, others):
    (case,) = goldens.golden_cases("ltx2", "gemma3_text")
    (golden,) = case.values
    from tools.parity.ltx2_text import gemma3_config

    like = names.build(gemma3_config(golden.info["constructor"]))[1]
    source = {prefix + key: value for key, value in golden.weights.items()}
    source |= {key: np.zeros(3, np.float32) for key in others}
    plan = make_plan(source, like, names.RULES, names.IGNORED)
    assert set(plan.ignored) == set(others)
    source[f"{prefix}layers.0.mlp.bias"] = np.zeros(3, np.float32)
    with pytest.raises(WeightsError, match="unused: .*layers.0.mlp.bias"):
        make_plan(source, like, names.RULES, names.IGNORED)


def test_the_published_size():
    graph, like = names.build(Gemma3Config())
    sizes = [math.prod(leaf.shape) for leaf in jax.tree.leaves(like)]
    assert sum(sizes) == 11_766_034_176
    run = jitted(graph, lambda model, *args: model(*args))
    ids = jax.ShapeDtypeStruct((2, 1024), jnp.int32)
    mask = jax.ShapeDtypeStruct((2, 1024), jnp.bool)
    states = jax.eval_shape(run, with_dtype(like, jnp.bfloat16), ids, mask)
    assert states.shape == (49, 2, 1024, 3840) and states.dtype == jnp.bfloat16
    assert Gemma3Config().is_full.count(True) == 8


def test_heads_that_cannot_be_shared_are_refused():
    with pytest.raises(ValueError, match="num_key_value_heads must divide"):
        Gemma3Config(num_key_value_heads=3)

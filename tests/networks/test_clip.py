"""CLIP's encoders: goldens, both layouts of names, full size, what texts see."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from clip_layouts import openai_layout
from flax import nnx
from goldens import assert_golden, golden_cases
from network_helpers import jitted, random_network, with_dtype

from avits_jax.networks.clip import params as names
from avits_jax.networks.clip.config import TINY, ClipConfig
from avits_jax.networks.clip.modeling import Clip
from avits_jax.weights import name_map as weights
from tools.parity.clip import config_of

CASES = [
    case
    for prefix in ("clip_vit", "pre_clip", "manifest_clip")
    for case in golden_cases("benchmarks", prefix)
]
GOLDEN = golden_cases("benchmarks", "clip_vit_tiny")[0].values[0]


@pytest.mark.parametrize("golden", CASES)
def test_clip_meets_the_golden(golden):
    assert_golden(golden)


def test_both_layouts_give_the_same_weights():
    like = names.build(config_of(GOLDEN.info["constructor"]))[1]
    states = GOLDEN.weights, openai_layout(GOLDEN.weights)
    assert not (states[0].keys() & states[1].keys()) - {"logit_scale"}
    one, other = (
        weights.load(state, like, names.RULES, names.IGNORED) for state in states
    )
    jax.tree.map(np.testing.assert_array_equal, one, other)


def test_a_file_of_both_layouts_is_refused():
    like = names.build(config_of(GOLDEN.info["constructor"]))[1]
    both = GOLDEN.weights | openai_layout(GOLDEN.weights)
    with pytest.raises(weights.WeightsError, match="doubled: .* both give text.words"):
        weights.make_plan(both, like, names.RULES, names.IGNORED)


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
def test_full_size_computes_in_the_weights_dtype(dtype):
    config = ClipConfig()
    graph, like = names.build(config)
    assert sum(leaf.size for leaf in jax.tree.leaves(like)) == 151_277_312

    def run(params, images, ids):
        model = nnx.merge(graph, params)
        states = model.vision(images), model.text(ids)
        return *states, model.embed_images(images), model.embed_texts(ids)

    found = jax.eval_shape(
        run,
        with_dtype(like, dtype),
        jax.ShapeDtypeStruct((3, 224, 224, 3), jnp.float32),
        jax.ShapeDtypeStruct((2, 77), jnp.int32),
    )
    assert [x.shape for x in found] == [
        (3, 50, 768),
        (2, 77, 512),
        (3, 512),
        (2, 512),
    ]
    assert {x.dtype for x in found} == {jnp.dtype(dtype)}


def test_a_text_is_read_at_its_end_and_not_beyond():
    graph, params = random_network(lambda rngs: Clip(TINY, rngs=rngs))
    embed = jitted(graph, lambda model, ids: model.embed_texts(ids))
    end = TINY.text.vocab_size - 1
    ids = np.zeros((3, TINY.text.context_length), np.int32)
    ids[:, :5] = [end - 1, 7, 8, 9, end]
    ids[1, 5:] = 11  # beyond the end token
    ids[2, 2] = 12  # before it
    found = embed(params, jnp.asarray(ids))
    np.testing.assert_allclose(found[1], found[0], rtol=1e-5)
    assert np.abs(found[2] - found[0]).max() > 1e-3

"""ImageBind's encoders: goldens, the published key list, independence of the batch."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from goldens import assert_golden, golden_cases
from network_helpers import jitted, random_network

from avits_jax.networks.imagebind import params as names
from avits_jax.networks.imagebind.config import EncoderConfig, ImageBindConfig
from avits_jax.networks.imagebind.modeling import ImageBind
from avits_jax.weights import name_map as weights

TINY = ImageBindConfig(
    vision=EncoderConfig(16, 2, 2),
    audio=EncoderConfig(12, 2, 3, extra_key=True),
    text=EncoderConfig(8, 2, 2),
    embed_dim=6,
    image_size=28,
    mel_bins=26,
    mel_frames=36,
    vocab_size=50,
    context_length=9,
)


@pytest.fixture(scope="module")
def network():
    return random_network(lambda rngs: ImageBind(TINY, rngs=rngs))


@pytest.mark.parametrize("golden", golden_cases("verifiers", "imagebind_"))
def test_encoders_meet_the_golden(golden):
    assert_golden(golden)


@pytest.mark.parametrize("golden", golden_cases("verifiers", "manifest_imagebind"))
def test_every_published_key_is_placed(golden):
    assert_golden(golden)


def test_a_key_too_many_is_reported():
    source = {"modality_trunks.vision.blocks.0.attn.unknown": np.zeros(1)}
    _, like = names.build(TINY)
    with pytest.raises(weights.WeightsError, match="unused: .*attn.unknown"):
        weights.make_plan(source, like, names.RULES, names.IGNORED)


def test_full_size_lowers_without_memory():
    config = ImageBindConfig()
    graph, params = names.build(config)
    shapes = [(3, 2, 224, 224, 3), (3, config.mel_bins, config.mel_frames), (3, 77)]
    inputs = [jax.ShapeDtypeStruct(shape, jnp.float32) for shape in shapes[:2]]
    ids = jax.ShapeDtypeStruct(shapes[2], jnp.int32)

    def embed(params, frames, mel, ids):
        model = nnx.merge(graph, params)
        return model.vision(frames), model.audio(mel), model.text(ids)

    for out in jax.eval_shape(embed, params, *inputs, ids):
        assert out.shape == (3, config.embed_dim)


def test_embeddings_ignore_the_rest_of_the_batch(network):
    graph, params = network
    rng = np.random.default_rng(0)
    inputs = [
        jnp.asarray(rng.normal(size=(3, 2, 28, 28, 3)), jnp.float32),
        jnp.asarray(rng.normal(size=(3, 26, 36)), jnp.float32),
        jnp.asarray(rng.integers(1, 49, (3, 9))),
    ]
    embed = jitted(graph, lambda m, *x: (m.vision(x[0]), m.audio(x[1]), m.text(x[2])))
    order = jnp.asarray([2, 1, 0])
    permuted = embed(params, *(x[order] for x in inputs))
    for whole, other in zip(embed(params, *inputs), permuted, strict=True):
        np.testing.assert_allclose(whole[order], other, atol=1e-5)
        assert np.abs(whole[0] - whole[1]).max() > 1e-3


def test_one_frame_stands_for_two_equal_ones(network):
    graph, params = network
    frame = jax.random.normal(jax.random.key(0), (2, 1, 28, 28, 3))
    tokens = jitted(graph, lambda model, x: model.vision.tokens(x))
    twice = jnp.concatenate([frame, frame], 1)
    np.testing.assert_allclose(
        tokens(params, frame), tokens(params, twice), rtol=1e-4, atol=1e-4
    )


def test_text_is_read_up_to_its_end_token_and_its_scale_is_limited(network):
    graph, params = network
    text = params["text"] | {"log_scale": np.float32(9.0)}
    embed = jitted(graph, lambda model, ids: model.text(ids))
    ids = jnp.asarray([[40, 3, 7, 49, 0, 0, 0, 0, 0], [40, 3, 7, 49, 0, 8, 8, 8, 8]])
    one, two = embed(params | {"text": text}, ids)
    np.testing.assert_allclose(one, two, atol=1e-4)
    np.testing.assert_allclose(jnp.linalg.norm(one), 100.0, rtol=1e-5)

"""The verifier VQAScore: its question, padding, shapes, checkpoints."""

import json
from functools import cache

import goldens
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from network_helpers import jitted, random_network, read_only
from safetensors.numpy import save_file
from tokenizer_files import unigram_tokenizer, write_whole

from avits_jax.cli import main
from avits_jax.text import tokenizers
from avits_jax.types import Media
from avits_jax.verifiers.texts import pad_end
from avits_jax.verifiers.vqa_score.config import TINY, VQAScoreConfig
from avits_jax.verifiers.vqa_score.modeling import VQAScore
from avits_jax.verifiers.vqa_score.params import build
from avits_jax.verifiers.vqa_score.parts import MODEL
from avits_jax.verifiers.vqa_score.verifier import encode_question, make
from avits_jax.weights.config import config_values
from avits_jax.weights.network import Weights, as_dtype
from tools.parity.vqa_score import config_of

RATES = {"fps": 24.0, "sample_rate": 16_000}
dummy = tokenizers.dummy("t5", TINY.t5.vocab_size)


def test_the_question_is_padded_and_the_image_keeps_its_place():
    ids, answer = encode_question(dummy, "a dog", TINY)
    assert ids.dtype == np.int32 and len(ids) % 32 == 0
    end = int(np.flatnonzero(ids)[-1])
    # An end token before the image, and one after the question.
    assert ids[end] == 1 and np.all(ids[end + 1 :] == TINY.pad_token)
    at = int(np.argmax(ids == TINY.image_token))
    assert ids[at - 1] == 1 and np.sum(ids == TINY.image_token) == 1
    assert answer[-1] == 1


def test_long_prompts_are_cut():
    with pytest.warns(UserWarning, match="vqa_score reads at most 512 tokens"):
        ids, _ = encode_question(dummy, "dog " * 2000, TINY)
    assert ids[np.flatnonzero(ids)[-1]] == 1 and 512 < len(ids) < 704


def test_padding_changes_nothing():
    """What the embedding of padding holds is seen nowhere but at padding itself."""
    graph, params = random_network(lambda rngs: VQAScore(TINY, rngs=rngs))
    short = [5, 1, TINY.image_token, 6, 7, 1]
    ids = jnp.asarray(pad_end(short, 8, TINY.pad_token))[None]
    image = jax.random.normal(jax.random.key(0), (1, 4, TINY.t5.d_model))

    def run(model, table):
        model.language.embed.embedding[...] = table
        context, mask = model.encode(ids, image)
        return context, model.language.decode(jnp.array([[5, 9]]), context, mask)

    compiled = jitted(graph, run)
    table = params["language"]["embed"]["embedding"]
    context, logits = compiled(params, table)
    other, same = compiled(params, table + 9.0 * (np.arange(64) == 0)[:, None])
    np.testing.assert_allclose(same, logits, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(other[:, :9], context[:, :9], rtol=1e-5, atol=1e-5)
    assert np.abs(other[:, 9:] - context[:, 9:]).min() > 0


def shapes(frames=102, height=240, width=426, candidates=5) -> Media:
    video = (candidates, frames, height, width, 3)
    return Media(
        jax.ShapeDtypeStruct(video, jnp.float32),
        jax.ShapeDtypeStruct((candidates, 68_000), jnp.float32),
    )


@cache
def made(config, mode):
    """The verifier, and the shapes of its weights."""
    verifier = make(("vqa_score",), config, Weights(None), mode=mode, **RATES)[0]
    return verifier, build(config)[1]


def rewards_of(config, dtype, media, mode="default"):
    """Shape of the shared pass's reward."""
    verifier, like = made(config, mode)
    cond = verifier.encode("a dog barks")
    return jax.eval_shape(verifier.score, as_dtype(like, dtype), media, cond)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_full_size_scores_are_float32(dtype):
    found = rewards_of(VQAScoreConfig(), dtype, shapes())
    assert found.shape == (5,) and found.dtype == jnp.float32


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_full_size_states_have_the_dtype_of_the_weights(dtype):
    graph, like = build(VQAScoreConfig())

    def run(params, images, ids, answer):
        model = nnx.merge(graph, params)
        features = model.embed_images(images)
        context, mask = model.encode(ids, features)
        inputs = model.language.embed(answer)
        return features, context, model.language.decoder(inputs, context, mask)

    found = jax.eval_shape(
        run,
        as_dtype(like, dtype),
        jax.ShapeDtypeStruct((2, 336, 336, 3), jnp.float32),
        jax.ShapeDtypeStruct((2, 96), jnp.int32),
        jax.ShapeDtypeStruct((2, 2), jnp.int32),
    )
    assert [each.dtype for each in found] == [dtype] * 3
    assert [each.shape[1] for each in found] == [576, 671, 2]


@pytest.mark.parametrize("clip", [(1, 8, 8), (3, 1, 300)])
@pytest.mark.parametrize("mode", ["default", "its"])
def test_odd_clips_are_read(clip, mode):
    assert rewards_of(TINY, "float32", shapes(*clip), mode).shape == (5,)


def test_clips_without_frames_are_refused():
    with pytest.raises(ValueError, match="vqa_score needs at least one frame"):
        rewards_of(TINY, "float32", shapes(0))


def test_there_is_no_mode_of_the_benchmark():
    with pytest.raises(ValueError, match="mode of VQAScore must be one of de"):
        rewards_of(TINY, "float32", shapes(), "bench")


@pytest.mark.slow  # 4 s; the same path as VideoReward's
def test_a_converted_checkpoint_brings_its_tokenizer(tmp_path):
    case = goldens.golden_cases("verifiers", "vqascore_tiny")[0].values[0]
    config = config_of(case.info["constructor"])
    source, out = tmp_path / "source", tmp_path / "out"
    source.mkdir()
    save_file(case.weights, source / "model.safetensors")
    write_whole(source, unigram_tokenizer())
    (tmp_path / "sizes.json").write_text(json.dumps(config_values(config)))
    arguments = ["vqa-score", "--source", source, "--out", out]
    arguments += ["--sizes", tmp_path / "sizes.json"]
    assert main(["convert", *map(str, arguments)]) == 0
    weights = Weights(out)
    found, params = read_only(MODEL, weights)
    assert found == config
    verifier = make(("vqa_score",), found, weights, **RATES)[0]
    ids, answer = verifier.encode("a dog")
    np.testing.assert_array_equal(answer, [9, 1])
    assert len(ids) % 32 == 0
    score = jax.eval_shape(verifier.score, params, shapes(4, 20, 24), (ids, answer))
    assert score.shape == (5,)

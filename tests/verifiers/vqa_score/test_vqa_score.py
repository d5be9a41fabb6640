"""VQAScore: goldens, prompts, frames and scores of clips."""

import goldens
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from network_helpers import jitted, random_network, with_dtype

from avits_jax.networks.t5.modeling import T5Config
from avits_jax.nn.pictures import CLIP_MEAN
from avits_jax.verifiers.vqa_score.config import ClipVisionConfig, VQAScoreConfig
from avits_jax.verifiers.vqa_score.modeling import VQAScore, answer_likelihood, splice
from avits_jax.verifiers.vqa_score.params import build
from avits_jax.verifiers.vqa_score.preprocess import (
    pad_to_square,
    prepare_frames,
    question_ids,
)
from avits_jax.verifiers.vqa_score.scores import score_clips, spread_frames

TINY = VQAScoreConfig(
    T5Config(
        vocab_size=20,
        d_model=8,
        d_kv=4,
        d_ff=8,
        num_layers=1,
        num_decoder_layers=1,
        num_heads=2,
    ),
    ClipVisionConfig(
        hidden_size=8,
        intermediate_size=8,
        num_hidden_layers=2,
        num_attention_heads=2,
        image_size=8,
        patch_size=4,
    ),
)
IDS = jnp.array([5, 1, -200, 6, 7, 1])
ANSWER = jnp.array([9, 1])
CASES = [
    *goldens.golden_cases("verifiers", "vqascore"),
    *goldens.golden_cases("verifiers", "manifest_clip"),
]


@pytest.mark.parametrize("golden", CASES)
def test_golden(golden):
    goldens.assert_golden(golden)


def test_splice_puts_the_image_in_the_place_of_its_token():
    text = jnp.arange(2 * 4).reshape(2, 4, 1).astype(float)
    image = 100 + jnp.arange(2 * 3).reshape(2, 3, 1).astype(float)
    found = splice(text, image, jnp.array([1, 3]))[..., 0]
    np.testing.assert_array_equal(found[0], [0, 100, 101, 102, 2, 3])
    np.testing.assert_array_equal(found[1], [4, 5, 6, 103, 104, 105])


def test_likelihood_is_the_geometric_mean():
    chances = jnp.array([[[0.2, 0.8], [0.5, 0.5]]])
    found = answer_likelihood(jnp.log(chances) + 3.0, jnp.array([[1, 0]]))
    np.testing.assert_allclose(found, [np.sqrt(0.8 * 0.5)], rtol=1e-6)


def test_prompt_is_tokenized_on_both_sides_of_the_image():
    seen = []

    def tokenize(text):
        seen.append(text)
        return [len(seen), 1]

    ids, answer = question_ids(tokenize, "a {red} <image> circle", -200)
    np.testing.assert_array_equal(ids, [1, 1, -200, 2, 1])
    np.testing.assert_array_equal(answer, [3, 1])
    assert seen[2] == "Yes"
    assert seen[0].startswith("A chat between") and seen[0].endswith("USER: ")
    assert seen[1] == (
        '\nDoes this figure show "a {red} <image> circle"? '
        "Please answer yes or no. ASSISTANT: "
    )


@pytest.mark.parametrize(("height", "width"), [(2, 4), (5, 2), (3, 3)])
def test_padding_keeps_the_picture_in_the_middle(height, width):
    levels = jnp.full((1, height, width, 3), 7.0)
    square = np.asarray(pad_to_square(levels))[0]
    side = max(height, width)
    assert square.shape == (side, side, 3)
    kept = np.all(square == 7.0, -1)
    assert kept.sum() == height * width
    border = np.array([int(255 * mean) for mean in CLIP_MEAN])
    assert np.all(square[~kept] == border)
    top, left = (side - height) // 2, (side - width) // 2
    assert kept[top : top + height, left : left + width].all()


def test_frames_are_squares_of_the_wanted_size():
    assert prepare_frames(jnp.zeros((2, 6, 10, 3)), 8).shape == (2, 8, 8, 3)


@pytest.mark.parametrize(
    ("frames", "count", "want"),
    [(10, 2, [2, 7]), (3, 8, [0, 1, 2]), (9, 3, [1, 4, 7]), (1, 1, [0])],
)
def test_frames_are_spread(frames, count, want):
    np.testing.assert_array_equal(spread_frames(frames, count), want)


@pytest.fixture(scope="module")
def network():
    return random_network(lambda rngs: VQAScore(TINY, rngs=rngs))


@pytest.fixture(scope="module")
def video() -> jax.Array:
    return jax.random.uniform(jax.random.key(0), (2, 3, 6, 10, 3))


def scorer(network, **options):
    """Compiled ``video -> scores``."""
    graph, params = network
    run = jitted(graph, lambda m, video: score_clips(m, video, IDS, ANSWER, **options))
    return lambda video: run(params, video)


def test_clips_do_not_depend_on_each_other(network, video):
    score = scorer(network, num_frames=2, frame_batch=3)
    scores = score(video)
    assert scores.shape == (2,) and np.all((scores > 0) & (scores <= 1))
    np.testing.assert_allclose(score(video[::-1]), scores[::-1], rtol=1e-5)
    bad = score(video.at[0, 2].set(jnp.nan))
    assert np.isnan(bad[0])
    np.testing.assert_allclose(bad[1], scores[1], rtol=1e-5)


def test_server_reads_every_frame(network, video):
    changed = video.at[:, 0].set(0.5)
    default = scorer(network, num_frames=1, frame_batch=8)
    np.testing.assert_allclose(default(video), default(changed), rtol=1e-6)
    server = scorer(network, mode="its", num_frames=1, frame_batch=8)
    assert np.abs(server(video) - server(changed)).max() > 1e-6


@pytest.mark.parametrize(
    ("wrong", "message"),
    [({"mode": "best"}, "mode must be one of"), ({"num_frames": 0}, "at least 1")],
)
def test_wrong_arguments_are_refused(network, video, wrong, message):
    with pytest.raises(ValueError, match=message):
        score_clips(nnx.merge(*network), video, IDS, ANSWER, **wrong)


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
def test_full_size_lowers(dtype):
    config = VQAScoreConfig()
    graph, like = build(config)
    images = jax.ShapeDtypeStruct((2, 336, 336, 3), jnp.float32)
    ids = jax.ShapeDtypeStruct((2, 70), jnp.int32)
    answer = jax.ShapeDtypeStruct((2, 2), jnp.int32)

    def run(params, images, ids, answer):
        return nnx.merge(graph, params)(images, ids, answer)

    logits = jax.eval_shape(run, with_dtype(like, dtype), images, ids, answer)
    assert logits.shape == (2, 2, config.t5.vocab_size)
    assert logits.dtype == jnp.float32

"""VideoReward's verifiers: tokens of the chat, padding, shapes, checkpoints."""

import json
from functools import cache

import goldens
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from network_helpers import jitted, random_network, read_only
from safetensors.numpy import save_file
from tokenizer_files import ASCII, write_pair

from avits_jax.catalogue.verifiers import FAMILIES
from avits_jax.cli import main
from avits_jax.text import tokenizers
from avits_jax.types import Media
from avits_jax.verifiers.video_reward.config import TINY, VideoRewardConfig
from avits_jax.verifiers.video_reward.modeling import VideoReward
from avits_jax.verifiers.video_reward.params import build
from avits_jax.verifiers.video_reward.parts import MODEL
from avits_jax.verifiers.video_reward.prompts import build_chat
from avits_jax.verifiers.video_reward.tokens import encode_chat, insert_video
from avits_jax.verifiers.video_reward.verifier import make
from avits_jax.weights.config import config_values
from avits_jax.weights.network import Weights, as_dtype
from tools.parity.video_reward import config_of

NAMES = tuple(next(f for f in FAMILIES if f.module == "video_reward").outputs)
RATES = {"fps": 24.0, "sample_rate": 16_000}
SPECIAL = (TINY.video_token, *TINY.reward_tokens)
dummy = tokenizers.dummy("qwen2", TINY.vocab_size)


@pytest.mark.parametrize(
    "caption",
    ["a dog", "", "a <|TA_reward|> {caption}<|video_pad|>", "<<||VQ_reward|>"],
)
def test_captions_cannot_add_special_tokens(caption):
    ids = encode_chat(dummy, caption, TINY)
    assert ids.dtype == np.int32 and len(ids) % 64 == 0
    assert [int(each) for each in ids if each in SPECIAL] == list(SPECIAL)


def test_ids_are_those_of_the_whole_chat():
    ids = jnp.asarray(encode_chat(dummy, "a dog", TINY))
    whole = dummy(build_chat("a dog", 5))
    found = insert_video(ids, 5, TINY.video_token)
    assert len(found) == len(ids) + 4
    np.testing.assert_array_equal(found[: len(whole)], whole)
    np.testing.assert_array_equal(found[len(whole) :], 0)


def test_long_captions_are_cut():
    with pytest.warns(UserWarning, match="video_reward reads at most 512 tokens"):
        ids = encode_chat(dummy, "dog " * 2000, TINY)
    short = encode_chat(dummy, "dog", TINY)
    assert len(short) + 384 <= len(ids) <= len(short) + 576
    assert [int(each) for each in ids if each in SPECIAL] == list(SPECIAL)


def test_a_tokenizer_of_another_network_is_refused():
    other = tokenizers.dummy("qwen2", 80)
    with pytest.raises(ValueError, match=r"\(60, 61, 62, 63\).*do not belong together"):
        encode_chat(other, "a dog", TINY)


def test_padding_changes_no_reward():
    graph, params = random_network(lambda rngs: VideoReward(TINY, rngs=rngs))
    video = jax.random.normal(jax.random.key(0), (1, 3, TINY.hidden_size))
    score = jitted(graph, lambda m, ids: m.read(m.hidden(ids, video), ids))
    short = jnp.array([[1, 60, 60, 60, 2, 61, 62, 3, 63, 4]])
    longer = jnp.pad(short, ((0, 0), (0, 64)))
    np.testing.assert_allclose(
        score(params, longer), score(params, short), rtol=1e-5, atol=1e-6
    )


def shapes(frames=102, height=240, width=426, candidates=3) -> Media:
    video = (candidates, frames, height, width, 3)
    return Media(
        jax.ShapeDtypeStruct(video, jnp.float32),
        jax.ShapeDtypeStruct((candidates, 68_000), jnp.float32),
    )


@cache
def made(config, mode):
    """The first verifier, and the shapes of its weights."""
    verifier = make(NAMES, config, Weights(None), mode=mode, **RATES)[0]
    return verifier, build(config)[1]


def all_rewards(config, dtype, media, mode="default"):
    """Shapes of a shared pass's rewards."""
    verifier, like = made(config, mode)
    cond = verifier.encode("a dog barks")
    return jax.eval_shape(
        verifier.shared_pass.rewards, as_dtype(like, dtype), media, cond
    )


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_full_size_gives_all_rewards_in_float32(dtype):
    rewards = all_rewards(VideoRewardConfig(), dtype, shapes(candidates=5))
    assert set(rewards) == set(NAMES)
    for each in rewards.values():
        assert each.shape == (5,) and each.dtype == jnp.float32


@pytest.mark.parametrize(("frames", "height", "width"), [(1, 8, 8), (3, 27, 500)])
@pytest.mark.parametrize("mode", ["bench", "its"])
def test_odd_clips_are_read(frames, height, width, mode):
    rewards = all_rewards(TINY, "float32", shapes(frames, height, width), mode)
    assert rewards["video_reward"].shape == (3,)


@pytest.mark.parametrize(
    ("clip", "message"),
    [((0, 8, 8), "video_reward needs at least one frame"), ((4, 1, 300), "got 1x300")],
)
def test_impossible_clips_are_explained(clip, message):
    with pytest.raises(ValueError, match=message):
        all_rewards(TINY, "float32", shapes(*clip))


def test_unknown_modes_are_refused():
    with pytest.raises(ValueError, match="one of default, bench, its, got 'fast'"):
        make(NAMES, TINY, Weights(None), mode="fast", **RATES)


@pytest.fixture
def converted(tmp_path):
    """A tiny checkpoint with its tokenizer, converted as a published one is."""
    case = goldens.golden_cases("verifiers", "videoreward_tiny")[0].values[0]
    first = len(ASCII) + 13
    config = config_of(case.info["constructor"], [first + 1, first + 2, first + 3])
    values = {**config_values(config), "video_token": first}
    source = tmp_path / "source"
    source.mkdir()
    save_file(case.weights, source / "model.safetensors")
    write_pair(source, ASCII, added=tokenizers.QWEN2_SPECIAL[:14])
    (tmp_path / "sizes.json").write_text(json.dumps(values))
    arguments = ["video-reward", "--source", source, "--out", tmp_path / "out"]
    arguments += ["--sizes", tmp_path / "sizes.json"]
    assert main(["convert", *map(str, arguments)]) == 0
    return tmp_path / "out", first, case


def test_a_converted_checkpoint_brings_its_tokenizer(converted, capsys):
    folder, first, case = converted
    weights = Weights(folder)
    config, params = read_only(MODEL, weights)
    assert config.video_token == first and config.hidden_size == 48
    name = "model.embed_tokens.weight"
    np.testing.assert_array_equal(params["embed"]["embedding"], case.weights[name])
    verifier = make(("video_reward",), config, weights, **RATES)[0]
    ids = verifier.encode("a dog")
    special = [int(each) for each in ids if each >= first]
    assert special == [first, first + 1, first + 2, first + 3]
    rewards = jax.eval_shape(verifier.score, params, shapes(4, 20, 24), ids)
    assert rewards.shape == (3,)
    for path in (folder / "tokenizer").iterdir():
        path.unlink()
    with pytest.raises(ValueError, match="lacks the files of a qwen2 tokenizer"):
        make(("video_reward",), config, weights, **RATES)

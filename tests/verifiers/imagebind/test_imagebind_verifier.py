"""ImageBind's pass at full size: dtypes, work, settings; checkpoints of it."""

from functools import cache, partial

import chex
import goldens
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from network_helpers import random_params, read_only, with_dtype

from avits_jax.networks.imagebind import params as names
from avits_jax.networks.imagebind.config import TINY, ImageBindConfig
from avits_jax.parallel.flops import count_flops
from avits_jax.sampling.chunks import even_batch
from avits_jax.types import Media
from avits_jax.verifiers import stack
from avits_jax.verifiers.imagebind.parts import MODEL
from avits_jax.verifiers.imagebind.program import OUTPUTS
from avits_jax.verifiers.imagebind.verifier import imagebind_pass, make
from avits_jax.weights import checkpoint
from avits_jax.weights import name_map as weights
from avits_jax.weights.config import config_values
from avits_jax.weights.network import Weights

FULL = ImageBindConfig()
CLIPS = Media(
    jax.ShapeDtypeStruct((2, 102, 240, 426, 3), jnp.float32),
    jax.ShapeDtypeStruct((2, 68_000), jnp.float32),
)
IDS = jax.ShapeDtypeStruct((77,), jnp.int32)
FRAME, CLIP, TEXT = 335.0e9, 40.9e9, 47.1e9


@cache
def work(*outputs, **settings) -> float:
    """Operations per clip of one pass at full size."""
    shared = imagebind_pass(FULL, outputs, fps=24.0, sample_rate=16_000, **settings)
    jaxpr = jax.make_jaxpr(shared.rewards)(names.build(FULL)[1], CLIPS, IDS)
    return count_flops(jaxpr) / 2


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
def test_full_size_computes_in_the_weights_dtype_and_scores_in_float32(dtype):
    graph, like = names.build(FULL)
    params = with_dtype(like, dtype)
    shared = imagebind_pass(FULL, OUTPUTS, fps=24.0, sample_rate=16_000)
    rewards = jax.eval_shape(shared.rewards, params, CLIPS, IDS)
    assert set(rewards) == set(OUTPUTS)
    for reward in rewards.values():
        assert reward.shape == (2,) and reward.dtype == jnp.float32

    def hidden(params, frames, mel, ids):
        model = nnx.merge(graph, params)
        inner = model.vision.hidden(frames), model.audio.hidden(mel)
        return (*inner, model.text.hidden(ids)), model.audio(mel)

    frames = jax.ShapeDtypeStruct((1, 1, 224, 224, 3), jnp.float32)
    mel = jax.ShapeDtypeStruct((1, 128, 204), jnp.float32)
    ids = jax.ShapeDtypeStruct((1, 77), jnp.int32)
    inner, embedded = jax.eval_shape(hidden, params, frames, mel, ids)
    assert all(x.dtype == dtype for x in inner) and embedded.dtype == jnp.float32


def test_frames_are_embedded_once_for_all_scores():
    # Of 3 clips of the whole sound and 6 windows two coincide.
    needed = 102 * FRAME + 7 * CLIP
    both = work("javis_score", "avh_score")
    assert needed * 0.98 < both < 1.05 * needed
    assert work("javis_score") == both
    shared = make(
        ["javis_score", "avh_score"],
        FULL,
        Weights(None),
        fps=24.0,
        sample_rate=16_000,
        mode="default",
        candidate_batch=None,
    )
    like = names.build(FULL)[1]
    stacked = jax.make_jaxpr(stack(shared))((like,) * 2, CLIPS, (IDS,) * 2)
    assert count_flops(stacked) == 2 * both


def test_sound_and_pictures_can_be_told_different_texts_in_one_pass():
    shared = imagebind_pass(TINY, ["ta_ib", "tv_ib"], fps=8.0, sample_rate=16_000)
    params = random_params(names.build(TINY)[1])
    keys = jax.random.split(jax.random.key(1), 2)
    video = jax.random.uniform(keys[0], (2, 16, 32, 32, 3))
    media = Media(video, jax.random.uniform(keys[1], (2, 32_000)) - 0.5)
    seen, heard = (np.full(TINY.context_length, token) for token in (5, 9))
    rewards = jax.jit(shared.rewards)
    both = rewards(params, media, shared.join({"ta_ib": heard, "tv_ib": seen}))
    chex.assert_trees_all_close(both["tv_ib"], rewards(params, media, seen)["tv_ib"])
    chex.assert_trees_all_close(both["ta_ib"], rewards(params, media, heard)["ta_ib"])
    assert not jnp.allclose(both["ta_ib"], rewards(params, media, seen)["ta_ib"])


def test_only_what_is_asked_for_is_computed():
    # The text is embedded once for both clips.
    assert work("ta_ib") < 1.05 * (3 * CLIP + TEXT / 2)
    assert work("tv_ib") < 1.05 * (15 * FRAME + TEXT / 2)
    assert work("av_ib", mode="its") < 1.05 * (15 * FRAME + CLIP)


def test_settings_that_save_work_do():
    third = work("javis_score", frame_rate=8.0)
    assert third < 1.05 * (34 * FRAME + 7 * CLIP)
    shared = work("javis_score", "av_ib", share_frames=True)
    assert shared == work("javis_score")


@pytest.mark.parametrize(("count", "most", "size"), [(102, 64, 51), (3, 64, 3)])
def test_batches_are_about_equal(count, most, size):
    assert even_batch(count, most) == size


@pytest.mark.parametrize(
    ("outputs", "settings", "message"),
    [
        (["av_ib"], {"mode": "best"}, "mode of ImageBind must be one of default, ben"),
        (["clap"], {}, "outputs must be some of javis_score, .* got clap"),
        ([], {}, "outputs must be some of .* got none"),
        (["av_ib"], {"frame_rate": 0}, "frame_rate must be positive, got 0"),
    ],
)
def test_wrong_settings_are_refused(outputs, settings, message):
    with pytest.raises(ValueError, match=message):
        imagebind_pass(TINY, outputs, fps=8.0, sample_rate=16_000, **settings)


def test_only_the_default_mode_hears_the_end_of_a_long_text():
    build = partial(make, ["ta_ib"], TINY, Weights(None), fps=8.0, sample_rate=16_000)
    text = "word " * 100
    ends = {
        mode: build(mode=mode, candidate_batch=None)[0].encode(text)[-1] == 49_407
        for mode in ("default", "bench", "its")
    }
    assert ends == {"default": True, "bench": False, "its": False}


def test_a_checkpoint_comes_back_with_its_sizes(tmp_path):
    params = random_params(names.build(TINY)[1])
    metadata = {"model": "imagebind", "config": config_values(TINY)}
    folder = checkpoint.save(tmp_path / "imagebind", params, metadata)
    config, found = read_only(MODEL, Weights(folder))
    assert config == TINY
    chex.assert_trees_all_equal(found, params)


@pytest.mark.parametrize("case", goldens.golden_cases("verifiers", "imagebind_tiny"))
def test_published_numbers_keep_their_shapes(case):
    from tools.parity.imagebind import config_of

    _, like = names.build(config_of(case.info["constructor"]))
    found = weights.load(case.weights, like, names.RULES, names.IGNORED)
    assert found["text"]["log_scale"].shape == ()
    chex.assert_trees_all_equal_shapes(found, like)

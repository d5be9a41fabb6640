"""Verifiers of several families, loaded by name, in one compiled program."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from avits_jax import verifiers
from avits_jax.networks.imagebind.config import TINY
from avits_jax.types import Media
from avits_jax.verifiers.imagebind.verifier import imagebind_pass

NAMES = ("javis_score", "ta_ib", "clap", "desync", "desync_smooth", "av_align")
TINY_NAMES = [name if name == "av_align" else f"{name}@tiny" for name in NAMES]
SOUND_ALONE = {"ta_ib", "clap"}
FPS, RATE = 6.0, 16_000
PROMPT = "a dog barks at the sea"


@pytest.fixture(scope="module")
def loaded():
    return verifiers.load(TINY_NAMES, fps=FPS, sample_rate=RATE)


@pytest.fixture(scope="module")
def media() -> Media:
    """Three clips of 2.5 s in stereo, of different loudness."""
    rng = np.random.default_rng(0)
    video = rng.uniform(size=(3, 15, 24, 32, 3)).astype(np.float32)
    beat = np.sin(np.arange(40_000) / 2000) ** 2
    audio = rng.normal(size=(3, 2, 40_000)) * beat * [[[0.3]], [[0.1]], [[0.02]]]
    return Media(jnp.asarray(video), jnp.asarray(audio, jnp.float32))


@pytest.fixture(scope="module")
def score(loaded):
    chosen, params = loaded
    conds = tuple(verifier.encode(PROMPT) for verifier in chosen)
    run = jax.jit(verifiers.stack(chosen))
    return lambda media: np.asarray(run(params, media, conds))


@pytest.fixture(scope="module")
def rewards(score, media):
    return score(media)


def test_each_gives_a_reward_of_its_own_per_clip(rewards):
    assert rewards.shape == (3, len(NAMES)) and rewards.dtype == np.float32
    assert np.isfinite(rewards).all()
    assert (np.abs(rewards[:, :3]) <= 1 + 1e-6).all()
    moved = np.ptp(rewards, 0) > 1e-4
    assert moved[[name != "desync" for name in NAMES]].all()  # it is a step function


def test_a_broken_picture_fails_what_looks_at_it_and_no_neighbour(
    score, media, rewards
):
    broken = score(media._replace(video=media.video.at[1, 14, 0, 0, 0].set(jnp.nan)))
    failed = [name not in SOUND_ALONE for name in NAMES]
    assert np.isnan(broken[1]).tolist() == failed
    np.testing.assert_allclose(broken[[0, 2]], rewards[[0, 2]], atol=1e-4)


def test_a_broken_sound_fails_all_and_no_neighbour(score, media, rewards):
    broken = score(media._replace(audio=media.audio.at[2, 1, -1].set(jnp.inf)))
    assert np.isnan(broken[2]).all()
    np.testing.assert_allclose(broken[:2], rewards[:2], atol=1e-4)


def test_a_clip_is_scored_as_if_alone(score, media, rewards):
    order = jnp.asarray([2, 0, 1])
    turned = score(Media(media.video[order], media.audio[order]))
    np.testing.assert_allclose(turned, rewards[order], atol=1e-4)


def test_a_pass_for_one_output_gives_what_the_shared_pass_gives(loaded, media, rewards):
    chosen, params = loaded
    assert chosen[0].shared_pass is chosen[1].shared_pass is not None
    shared = imagebind_pass(TINY, ["ta_ib"], fps=FPS, sample_rate=RATE)
    run = jax.jit(shared.rewards)
    alone = run(params[1], media, chosen[1].encode(PROMPT))
    assert set(alone) == {"ta_ib"}
    np.testing.assert_allclose(alone["ta_ib"], rewards[:, 1], atol=1e-5)


@pytest.mark.slow  # compiles every network twice more
@pytest.mark.parametrize(("dtype", "atol"), [("float32", 1e-4), ("bfloat16", 0.1)])
def test_two_at_a_time_give_what_all_at_once_give(media, rewards, dtype, atol):
    chosen, params = verifiers.load(
        TINY_NAMES, fps=FPS, sample_rate=RATE, candidate_batch=2, dtype=dtype
    )
    conds = tuple(verifier.encode(PROMPT) for verifier in chosen)
    found = jax.jit(verifiers.stack(chosen))(params, media, conds)
    assert found.dtype == jnp.float32
    smooth = [index for index, name in enumerate(NAMES) if name != "desync"]
    np.testing.assert_allclose(found[:, smooth], rewards[:, smooth], atol=atol)


@pytest.mark.parametrize(
    ("name", "frames", "samples", "message"),
    [
        ("ta_ib", 3, 300, "ta_ib: .* at least 25 ms of sound, got 300 samples at 16"),
        ("clap", 3, 0, "clap: .* at least 1 sample of sound, got 0 samples"),
        ("desync", 1, 9, "desync, desync_smooth: .* at least 2 frames, got 1"),
        ("desync", 3, 0, "desync, desync_smooth: .* 1 sample of sound, got 0 samples"),
        ("av_align", 1, 9, "av_align: .* at least 2 frames, got 1"),
        ("av_align", 3, 0, "av_align: .* at least 1 sample of sound, got 0 samples"),
    ],
)
def test_too_little_of_a_clip_is_refused(loaded, name, frames, samples, message):
    with pytest.raises(ValueError, match=message):
        shapes_of(loaded, name, frames, (samples,))


@pytest.mark.parametrize("sound", [(450,), (1, 450), (6, 450)])
def test_one_frame_and_a_short_sound_of_any_channels_are_enough(loaded, sound):
    assert shapes_of(loaded, "javis_score", 1, sound).shape == (2,)
    assert shapes_of(loaded, "clap", 1, sound).shape == (2,)


def shapes_of(loaded, name, frames, sound):
    """Trace one of the verifiers on two clips of that many frames and samples."""
    index = NAMES.index(name)
    verifier, params = loaded[0][index], loaded[1][index]
    media = Media(
        jax.ShapeDtypeStruct((2, frames, 24, 32, 3), jnp.float32),
        jax.ShapeDtypeStruct((2, *sound), jnp.float32),
    )
    return jax.eval_shape(verifier.score, params, media, verifier.encode(PROMPT))

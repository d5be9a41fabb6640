"""VideoReward and VQAScore by name, as one program of a search."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from avits_jax import verifiers
from avits_jax.types import Media
from avits_jax.verifiers.video_reward.config import REWARD_MEAN, REWARD_STD

NAMES = (
    "video_reward@tiny",
    "video_reward_vq@tiny",
    "video_reward_raw_ta@tiny",
    "vqa_score@tiny",
)


@pytest.fixture(scope="module")
def loaded():
    return verifiers.load(NAMES, fps=24, sample_rate=16_000, candidate_batch=2)


@pytest.fixture(scope="module")
def clips():
    """Four clips of two frames, smaller than one token's side."""
    video = jax.random.uniform(jax.random.key(0), (4, 2, 20, 24, 3))
    return Media(video, jnp.zeros((4, 100)))


@pytest.fixture(scope="module")
def conds(loaded):
    return [verifier.encode("a dog barks twice") for verifier in loaded[0]]


@pytest.fixture(scope="module")
def run(loaded, conds):
    """Compiled ``media -> rewards``."""
    score = jax.jit(verifiers.stack(loaded[0]))
    return lambda media: np.asarray(score(loaded[1], media, conds))


@pytest.fixture(scope="module")
def rewards(run, clips):
    return run(clips)


def test_rewards_are_finite_and_differ(rewards):
    assert rewards.shape == (4, 4) and rewards.dtype == np.float32
    assert np.all(np.isfinite(rewards))
    assert np.all(rewards.std(0) > 1e-6)
    assert np.all((rewards[:, 3] > 0) & (rewards[:, 3] <= 1))
    normed = (rewards[:, 2] - REWARD_MEAN[2]) / REWARD_STD[2]
    np.testing.assert_allclose(rewards[:, 0], normed, rtol=1e-5)


def test_one_network_is_one_pass(loaded):
    passes = [verifier.shared_pass for verifier in loaded[0]]
    assert passes[0] is passes[1] is passes[2] is not passes[3]
    trees = loaded[1]
    assert trees[0] is trees[1] is trees[2] is not trees[3]
    assert [verifier.name for verifier in loaded[0]] == list(NAMES)


def test_a_broken_clip_fails_alone(run, clips, rewards):
    video = clips.video.at[1, 1, 0, 0, 0].set(jnp.nan)
    found = run(clips._replace(video=video))
    np.testing.assert_array_equal(np.isnan(found).all(1), [False, True, False, False])
    np.testing.assert_allclose(found[[0, 2, 3]], rewards[[0, 2, 3]], rtol=1e-4)


def test_neither_place_nor_chunk_matters(run, clips, rewards):
    """VideoReward works on chunks of two clips, VQAScore on all eight frames."""
    order = [3, 0, 2, 1]
    turned = run(clips._replace(video=clips.video[jnp.array(order)]))
    np.testing.assert_allclose(turned[np.argsort(order)], rewards, rtol=1e-4)

"""Finite rewards of any size leave states that can be used."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from aggregation_cases import EVERY, WEIGHTS, random_rewards

from avits_jax.aggregation import LARGEST_REWARD, arw, count_outliers, sigmas


def test_the_largest_reward_is_the_last_whose_square_is_finite():
    largest = np.float32(LARGEST_REWARD)
    assert np.isfinite(largest * largest)
    with np.errstate(over="ignore"):
        assert np.isinf(np.square(np.nextafter(largest, np.float32(np.inf))))


@pytest.mark.parametrize("name", EVERY)
def test_an_outlier_is_left_out_like_a_failed_candidate(name):
    rewards = random_rewards(0, 6)
    update = jax.jit(EVERY[name].update)
    start = EVERY[name].init(3)
    scores, state = update(rewards.at[2, 1].set(-3e38), start)
    expected = update(rewards.at[2, 1].set(jnp.nan), start)
    assert np.isneginf(scores[2])
    jax.tree.map(np.testing.assert_array_equal, (scores, state), expected)


def test_outliers_are_counted_per_verifier_and_the_failed_are_not():
    rewards = jnp.zeros((2, 4, 3)).at[0, 1, 0].set(2e19).at[1, 2, 0].set(-1e30)
    rewards = rewards.at[1, 1, 1].set(jnp.inf).at[0, 0, 2].set(LARGEST_REWARD)
    found = jax.jit(count_outliers)(rewards)
    assert found.dtype == jnp.int32
    np.testing.assert_array_equal(found, [2, 0, 0])
    np.testing.assert_array_equal(count_outliers(rewards[0]), [1, 0, 0])
    for dtype in (jnp.bfloat16, jnp.float16, jnp.int32):
        assert not count_outliers(jnp.full((2, 3), 60000, dtype)).any()


def is_usable(state):
    leaves = jax.tree.leaves(state)
    return all(np.isfinite(leaf).all() for leaf in leaves)


@pytest.mark.parametrize("name", EVERY)
def test_no_reward_in_range_spoils_a_state(name):
    """Columns on scales from 1e-20 to the largest, and then ordinary ones again."""
    aggregator = EVERY[name]
    update = jax.jit(aggregator.update)
    signs = jnp.asarray([1.0, -1.0, 0.5, -1.0, 1.0, 0.25])[:, None]
    for scale in (1e-20, 1e3, 1e6, 1e15, 1e18, LARGEST_REWARD):
        state = aggregator.init(3)
        large = random_rewards(1, 6).at[:, 1:2].set(signs * scale)
        for rewards in (large, large, random_rewards(2, 6)):
            scores, state = update(rewards, state)
            assert np.isfinite(scores).all(), scale
            assert is_usable(state), scale
            if "arw" in name:
                learned = sigmas(state)
                assert (np.isfinite(learned) & (learned > 0)).all(), scale


@pytest.mark.parametrize("optimizer", ["adam", "adamw", "rmsprop", "adagrad", "lbfgs"])
@pytest.mark.parametrize("scale", [1e6, 1e15])
def test_large_rewards_are_learned_from(optimizer, scale):
    aggregator = arw(WEIGHTS, optimizer)
    rewards = random_rewards(3, 6).at[:, 1].multiply(scale)
    _, state = jax.jit(aggregator.update)(rewards, aggregator.init(3))
    assert 0 < state.log_vars[1] < 89


def test_a_verifier_whose_fit_diverges_takes_the_minimum():
    aggregator, minimum = arw(WEIGHTS, "sgd"), arw(WEIGHTS, "closed_form")
    rewards = random_rewards(4, 6) / jnp.asarray([1.0, 10.0, 100.0])
    rewards = rewards.at[:, 1].multiply(1e4)
    start = aggregator.init(3)
    _, state = aggregator.update(rewards, start)
    _, best = minimum.update(rewards, minimum.init(3))
    np.testing.assert_allclose(state.log_vars[1], best.log_vars[1], rtol=1e-6)
    moved = np.abs(state.log_vars[0] - start.log_vars[0])
    assert 0 < moved < np.abs(best.log_vars[0] - start.log_vars[0]) / 2
    jax.tree.map(np.testing.assert_array_equal, state.opt_state, start.opt_state)


def test_one_reward_far_off_does_not_win_for_ever():
    aggregator = arw(WEIGHTS, "lbfgs")
    update = jax.jit(aggregator.update)
    _, state = update(random_rewards(5, 6).at[0, 0].set(1e6), aggregator.init(3))
    winners = set()
    for rewards in random_rewards(6, 4, 6):
        scores, state = update(rewards, state)
        assert np.isfinite(scores).all()
        winners.add(int(scores.argmax()))
    assert len(winners) > 1
    assert sigmas(state)[0] > 2

"""Statistics of winners and verifiers against numbers computed by hand."""

import numpy as np
import pytest
from scipy.stats import spearmanr

from avits_jax.study import (
    advantages,
    agreement,
    baseline,
    best_rewards,
    chance_agreement,
    counts_up_to,
    growth,
    interval,
    make_selections,
    mean_rewards,
    measure,
    none_worse,
    paired_interval,
    rates_right,
    rates_right_at_all,
    spearman,
    winner_rewards,
)

NAN = np.nan
# Two prompts, three candidates, a guide and a judge; the last candidate failed.
REWARDS = np.array([[[1, 4], [3, 2], [2, 3]], [[5, 1], [1, 3], [NAN, 9]]], float)
ALONE = make_selections(["guide", "judge"], [0], [])


def test_an_interval_is_the_bootstrap_over_prompts():
    values = np.random.default_rng(3).normal(size=70)
    draws = np.random.default_rng(0).integers(70, size=(4000, 70))
    expected = np.percentile(values[draws].mean(1), [2.5, 97.5])
    np.testing.assert_allclose(interval(values), [values.mean(), *expected])
    with_gap = np.insert(values, 5, NAN)
    assert interval(with_gap) == interval(values)
    assert interval(np.array([0.25])) == (0.25, 0.25, 0.25)
    assert np.isnan(interval(np.array([NAN]))).all()
    assert interval(np.array([True, True])) == (1, 1, 1)


def test_a_paired_interval_is_narrower_than_two():
    rng = np.random.default_rng(5)
    shared = rng.normal(size=200)
    first, second = shared + 0.1, shared + 0.01 * rng.normal(size=200)
    mean, low, high = paired_interval(first, second)
    assert 0.09 < low < mean < high < 0.11
    np.testing.assert_allclose(mean, (first - second).mean())
    second[0] = NAN
    assert paired_interval(first, second) == interval((first - second)[1:])


def test_a_pair_is_of_the_same_prompts(unchecked):
    with pytest.raises(ValueError, match=r"shapes \(200,\) and \(2,\)"):
        paired_interval(np.zeros(200), np.zeros(2))


def test_winners_against_the_mean_and_the_best():
    np.testing.assert_array_equal(mean_rewards(REWARDS), [[2, 3], [3, 2]])
    np.testing.assert_array_equal(best_rewards(REWARDS), [[3, 4], [5, 3]])
    winners = np.array([1, 0])
    np.testing.assert_array_equal(winner_rewards(REWARDS, winners), [[3, 2], [5, 1]])
    np.testing.assert_array_equal(advantages(REWARDS, winners), [[1, -1], [2, -1]])
    nobody = np.array([2, -1])
    np.testing.assert_array_equal(advantages(REWARDS, nobody), [[0, 0], [NAN, NAN]])
    lost = np.full((1, 2, 2), NAN)
    for statistic in (mean_rewards, best_rewards):
        assert np.isnan(statistic(lost)).all()


def test_equal_rewards_are_no_loss():
    # 0.1 is no binary number: a mean of equal ones may round to above it.
    rewards = np.full((1, 7, 1), 0.1)
    assert advantages(rewards, np.array([3])) == 0
    np.testing.assert_array_equal(
        none_worse(np.array([[0.0, 1.0], [1.0, -1e-9]])), [True, False]
    )
    assert none_worse(np.zeros((2, 0))).all()


def test_an_outcome_in_numbers():
    (outcome,) = measure(REWARDS, ALONE, np.array([[1, 0]]))
    np.testing.assert_array_equal(outcome.rewards, [4, 1.5])
    np.testing.assert_allclose(outcome.gains[:, 0], [1.5, -1])
    assert outcome.gains[0, 1:].tolist() == [1, 2]  # two prompts: either, or both
    np.testing.assert_allclose(outcome.attained, [3 / 3, -2 / 2])
    assert outcome.none_worse == (0, 0, 0) and outcome.judge_worse == (1, 1, 1)
    assert outcome.right is None and outcome.right_gain is None
    both = make_selections("ab", [0, 1], ["weighted"])[-1:]
    (outcome,) = measure(REWARDS, both, np.array([[2, 1]]))
    assert outcome.judge_worse is None
    assert outcome.none_worse[0] == 0.5  # the mean candidate of prompt 0 itself
    base = baseline(REWARDS)
    np.testing.assert_array_equal([base.mean, base.best], [[2.5, 2.5], [4, 3.5]])
    assert base.mean_right is None and base.any_right is None


def test_candidates_that_do_not_differ_leave_nothing_to_attain():
    (outcome,) = measure(np.ones((3, 2, 2)), ALONE, np.array([[0, 1, 0]]))
    assert np.isnan(outcome.attained).all() and (outcome.gains == 0).all()
    assert outcome.none_worse == (1, 1, 1) and outcome.judge_worse == (0, 0, 0)
    assert np.isnan(spearman(np.ones((3, 2, 2)))).all()


def test_rates_of_right_winners():
    truth = np.array([[0, 1, 0], [1, 0, NAN]])  # of the failed one nobody knows
    ((rate, gain),) = rates_right(REWARDS, np.array([[1, 1]]), truth)
    assert rate == (0.5, 0, 1)
    np.testing.assert_allclose(gain[0], 0.5 - (1 / 3 + 1 / 2) / 2)
    np.testing.assert_allclose(gain[1:], [-1 / 2, 2 / 3])  # paired: prompt by prompt
    one, some = rates_right_at_all(REWARDS, truth)
    np.testing.assert_allclose(one[0], (1 / 3 + 1 / 2) / 2)
    assert some == (1, 1, 1)
    # A prompt with a candidate that nobody judged has no truth.
    truth[0, 0] = NAN
    ((rate, _),) = rates_right(REWARDS, np.array([[1, 1]]), truth)
    assert rate == (0, 0, 0)


def test_correlations_within_prompts():
    rng = np.random.default_rng(2)
    rewards = rng.normal(size=(5, 8, 3)).round(1)  # ties
    rewards[..., 1] += rewards[..., 0]
    # Differences between prompts alone are no correlation within them.
    rewards += 100 * np.arange(5)[:, None, None]
    expected = np.mean([spearmanr(table).statistic for table in rewards], axis=0)
    np.testing.assert_allclose(spearman(rewards), expected)
    rewards[0, 3, 2] = NAN
    rewards[1, :, 2] = 7.0  # says nothing there; the other pairs still count
    some = [
        spearmanr(np.delete(rewards[0], 3, axis=0)).statistic,
        *(spearmanr(table).statistic for table in rewards[2:]),
    ]
    found = spearman(rewards)
    np.testing.assert_allclose(found[0, 2], np.mean([each[0, 2] for each in some]))
    pair = spearmanr(rewards[1, :, :2]).statistic
    np.testing.assert_allclose(
        found[0, 1], np.mean([*(each[0, 1] for each in some), pair])
    )
    rewards[2] = NAN  # a prompt without candidates
    assert np.isfinite(spearman(rewards)).all()
    assert np.isnan(spearman(rewards[:, :1])).all()  # one candidate


def test_agreement_of_winners():
    winners = np.array([[0, 1, 2, 3], [0, 1, 0, -1], [1, 1, 2, 3]])
    np.testing.assert_allclose(
        agreement(winners), [[1, 2 / 3, 3 / 4], [2 / 3, 1, 1 / 3], [3 / 4, 1 / 3, 1]]
    )
    assert np.isnan(agreement(np.array([[0], [-1]]))[0, 1])
    np.testing.assert_allclose(chance_agreement(REWARDS), (1 / 3 + 1 / 2) / 2)
    assert np.isnan(chance_agreement(REWARDS * NAN))


def test_growth_takes_the_first_candidates():
    assert [counts_up_to(n) for n in (1, 2, 5, 8)] == [
        *([1], [1, 2], [1, 2, 4, 5], [1, 2, 4, 8])
    ]
    truth = np.array([[1, 0, 0], [0, 1, NAN]])
    (points,) = growth(REWARDS, ALONE, np.zeros(2, int), truth)
    assert [point.num_candidates for point in points] == [1, 2, 3]
    rewards = np.array([point.rewards for point in points])
    np.testing.assert_array_equal(rewards, [[3, 2.5], [4, 1.5], [4, 1.5]])
    # Always against the mean of all candidates: what one sample is worth.
    gains = np.array([point.gains[:, 0] for point in points])
    np.testing.assert_array_equal(gains, [[0.5, 0], [1.5, -1], [1.5, -1]])
    assert [point.right[0] for point in points] == [0.5, 0, 0]
    late = REWARDS.copy()
    late[0, 0] = NAN
    (points,) = growth(late, ALONE, np.zeros(2, int))
    assert [point.num_prompts for point in points] == [1, 2, 2]
    late[1, 0] = NAN
    (points,) = growth(late, ALONE, np.zeros(2, int))
    assert [point.num_candidates for point in points] == [2, 3]

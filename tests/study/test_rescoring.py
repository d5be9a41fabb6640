"""Winners chosen again: by hand, as a loop over updates, and as a search chose them."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import avits_jax as avits
from avits_jax.aggregation.separable import preferences
from avits_jax.study import (
    AGGREGATORS,
    calibrated,
    choose,
    choose_all,
    first_candidates,
    make_selections,
    pick,
    usable,
)
from avits_jax.study.selections import is_main

NAN = np.nan
SCALES = np.array([1.0, 30.0, 0.1]), np.array([0.0, 100.0, 3.0])


def drawn(num_prompts=40, num_candidates=6, seed=0):
    """Rewards of three verifiers on unlike scales; some candidates failed."""
    rng = np.random.default_rng(seed)
    rewards = rng.normal(size=(num_prompts, num_candidates, 3)) * SCALES[0] + SCALES[1]
    rewards[3, 2] = rewards[7, :4] = NAN
    rewards[9, 1, 1] = NAN
    return rewards.astype(np.float32)


def test_winners_by_hand():
    # The plain sum listens to the large scale; a fair scale does not.
    rewards = np.array([[[1, 10], [2, 9], [0, 12]], [[5, 1], [1, 3], [4, 2]]], float)
    both = [0, 1]
    np.testing.assert_array_equal(choose(rewards, avits.weighted([1.0]), [0]), [1, 0])
    np.testing.assert_array_equal(choose(rewards, avits.weighted([1.0]), [1]), [2, 1])
    plain = choose(rewards, avits.weighted([1.0, 1.0]), both)
    np.testing.assert_array_equal(plain, [2, 0])
    heavy = choose(rewards, avits.weighted([3.0, 1.0]), both)
    np.testing.assert_array_equal(heavy, [1, 0])


def test_failed_candidates_never_win():
    rewards = np.array([[[NAN], [1.0], [0.0]], [[NAN]] * 3, [[2.0], [np.inf], [3.0]]])
    for name in AGGREGATORS:
        winners = pick(calibrated(name, rewards), [1.0])
        np.testing.assert_array_equal(winners, [1, -1, 2], err_msg=name)
    np.testing.assert_array_equal(
        choose(rewards, avits.arw([1.0], "closed_form"), [0]), [1, -1, 2]
    )
    expected = [[False, True, True], [False] * 3, [True, False, True]]
    np.testing.assert_array_equal(usable(rewards), expected)
    assert not usable(np.full((1, 1, 2), [1.0, 1e30])).any()  # learns from no such


def test_ties_fall_to_the_first():
    rewards = np.ones((2, 3, 2), np.float32)
    for name in AGGREGATORS:
        assert pick(calibrated(name, rewards), [1.0, 1.0]).tolist() == [0, 0], name


FACTORIES = {
    "weighted": avits.weighted,
    "rank": avits.rank,
    "minmax": avits.minmax,
    "zscore_candidate": avits.zscore_candidate,
    "zscore_history": avits.zscore_history,
    "arw": functools.partial(avits.arw, optimizer="closed_form"),
    "arw_adam": functools.partial(avits.arw, optimizer="adam"),
}


@pytest.mark.parametrize("name", AGGREGATORS)
def test_one_calibration_serves_all_weights_and_subsets(name):
    # Away from ties, which ranks of equal weights are full of.
    rewards = drawn()
    rewards[~usable(rewards)] = NAN
    weights = {(0, 1, 2): [1.0, 0.7, 0.45], (0, 2): [0.6, 1.0], (1,): [2.0]}
    terms = calibrated(name, rewards)
    for columns, chosen in weights.items():
        if name == "zscore":
            seen = rewards[usable(rewards)][:, list(columns)]
            aggregator = avits.zscore(chosen, seen.mean(0), seen.std(0))
        else:
            aggregator = FACTORIES[name](chosen)
        spread = np.zeros(3)
        spread[list(columns)] = chosen
        expected = choose(rewards, aggregator, columns)
        np.testing.assert_array_equal(pick(terms, spread), expected)


def test_learning_goes_from_prompt_to_prompt():
    rewards = drawn()[:25]
    rewards[:12, :, 1] *= 0.01  # a small spread, as long as nothing else is known
    aggregator = avits.arw([1.0, 1.0], "closed_form")
    state, update = aggregator.init(2), jax.jit(aggregator.update)
    winners = []
    for batch in rewards[..., :2]:
        scores, state = update(jnp.asarray(batch), state)
        ranking = preferences(aggregator, jnp.asarray(batch), state, scores)
        winners.append(int(jnp.argmax(ranking)))
    chosen = choose(rewards, aggregator, [0, 1])
    np.testing.assert_array_equal(chosen, winners)
    backwards = choose(rewards[::-1], aggregator, [0, 1])[::-1]
    assert (chosen != backwards).any()


def test_every_run_starts_afresh():
    rewards = drawn()
    selections = make_selections("abc", [0, 1, 2], ["zscore_history", "zscore"])
    runs = np.arange(40) // 25
    together = choose_all(rewards, selections, runs)
    apart = [
        choose_all(rewards[runs == r], selections, runs[runs == r]) for r in (0, 1)
    ]
    np.testing.assert_array_equal(together, np.concatenate(apart, axis=1))
    assert (together != choose_all(rewards, selections, runs * 0)).any()


def test_a_search_chooses_alike(toy):
    """What best_of_n chose, prompt after prompt, comes out of its rewards again."""
    aggregator = avits.arw([1.0, 0.5], "closed_form")
    search = jax.jit(
        functools.partial(
            avits.best_of_n,
            generator=toy.generator,
            verifiers=toy.verifiers,
            aggregator=aggregator,
            num_candidates=5,
        )
    )
    state, rewards, chosen = aggregator.init(2), [], []
    for prompt in range(3):
        key = jax.random.key(prompt)
        output = search(toy.params, key, toy.cond, state)
        state = output.aggregator_state
        rewards.append(np.asarray(output.rewards))
        chosen.append(int(output.best_index))
    again = choose(np.array(rewards), aggregator, [0, 1])
    np.testing.assert_array_equal(again, chosen)


def test_the_first_candidates_alone():
    rewards = drawn()
    fewer = first_candidates(rewards, 3)
    assert fewer.shape == rewards.shape and fewer.dtype == np.float32
    np.testing.assert_array_equal(fewer[:, :3], rewards[:, :3])
    assert np.isnan(fewer[:, 3:]).all()
    # As if the others had never been there.
    for name in AGGREGATORS:
        padded = pick(calibrated(name, fewer), [1.0, 0.7, 0.45])
        cut = pick(calibrated(name, rewards[:, :3]), [1.0, 0.7, 0.45])
        np.testing.assert_array_equal(padded, cut, err_msg=name)


def test_selections_are_subsets_times_aggregators_and_weights():
    made = make_selections("abcd", [0, 2, 3], ["rank", "arw"], weights=[(1, 0, 2)])
    assert [each.name for each in made] == [
        *("a", "c", "d"),
        *("rank: a + c", "arw: a + c", "rank: a + d", "arw: a + d"),
        *("rank: c + d", "arw: c + d", "rank: a + c + d", "arw: a + c + d"),
        *("rank: 1 a + 2 d", "arw: 1 a + 2 d"),
    ]
    assert made[3].weights == (1, 0, 1, 0)
    assert (made[3].guides, made[3].judges) == ((0, 2), (1, 3))
    assert made[-1].weights == (1, 0, 0, 2)
    sized = make_selections("abcd", [0, 2, 3], ["arw"], sizes=[3])
    assert [each.name for each in sized] == ["arw: a + c + d"]
    main = [each.name for each in made if is_main(each, 3)]
    assert main == [*("a", "c", "d"), *(each.name for each in made[-4:])]

"""What holds for every aggregator."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from aggregation_cases import AGGREGATORS, WEIGHTS, jitted, random_rewards
from hypothesis import given, settings
from hypothesis import strategies as st

from avits_jax import aggregation

FEW = settings(max_examples=12, deadline=None)


@pytest.fixture(params=list(AGGREGATORS))
def aggregator(request):
    """Every aggregator in turn, for three verifiers, its update compiled."""
    return AGGREGATORS[request.param]._replace(update=jitted(request.param))


def assert_same(a, b):
    """Compare trees to rounding: fused programs sum in another order."""
    assert jax.tree.structure(a) == jax.tree.structure(b)
    for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True):
        np.testing.assert_allclose(x, y, rtol=2e-5, atol=2e-5)


def types(tree):
    return jax.tree.map(lambda x: (jnp.shape(x), x.dtype, x.weak_type), tree)


@pytest.mark.parametrize("name", list(AGGREGATORS))
def test_eager_equals_jit_with_strict_promotion_and_stable_types(name):
    rewards = random_rewards(1, 6)
    aggregator = AGGREGATORS[name]
    start = aggregator.init(3)
    expected = jitted(name)(rewards, start)
    with jax.numpy_dtype_promotion("strict"), jax.numpy_rank_promotion("raise"):
        scores, state = aggregator.update(rewards, start)
        rescored = aggregator.score(rewards, state)
    assert_same((scores, state), expected)
    np.testing.assert_array_equal(scores, rescored)
    assert scores.shape == (6,)
    assert scores.dtype == jnp.float32
    assert types(start) == types(state) == types(expected[1])


def test_vmap_equals_a_loop(aggregator):
    rewards = random_rewards(0, 3, 6)
    start = aggregator.init(3)
    alone = [aggregator.update(prompt, start) for prompt in rewards]
    together = jax.jit(jax.vmap(aggregator.update, (0, None)))(rewards, start)
    assert_same(together, jax.tree.map(lambda *x: jnp.stack(x), *alone))


def test_scan_equals_a_loop(aggregator):
    rewards = random_rewards(0, 3, 6)
    start = aggregator.init(3)
    state, scores = start, []
    for prompt in rewards:
        found, state = aggregator.update(prompt, state)
        scores.append(found)
    last, scanned = jax.lax.scan(
        lambda state, prompt: aggregator.update(prompt, state)[::-1], start, rewards
    )
    assert_same((scanned, last), (jnp.stack(scores), state))


def test_contributions_sum_to_scores(aggregator):
    rewards = random_rewards(3, 6).at[2, 1].set(jnp.nan)
    scores, state = aggregator.update(rewards, aggregator.init(3))
    terms = aggregation.contributions(aggregator, rewards, state)
    assert terms.shape == (6, 3)
    np.testing.assert_allclose(terms.sum(axis=1), scores, rtol=1e-6)
    assert np.isneginf(terms[2]).all()


def test_contributions_need_a_separable_aggregator():
    foreign = AGGREGATORS["weighted"]._replace(score=lambda rewards, state: rewards)
    with pytest.raises(TypeError):
        aggregation.contributions(foreign, random_rewards(0, 2), ())


@pytest.mark.parametrize("bad", [jnp.nan, jnp.inf, -jnp.inf])
def test_a_failed_candidate_changes_nothing_for_the_others(aggregator, bad):
    rewards = random_rewards(4, 6)
    broken = rewards.at[2, 1].set(bad)
    start = aggregator.init(3)
    scores, state = aggregator.update(broken, start)
    others = jnp.asarray([0, 1, 3, 4, 5])
    expected, expected_state = aggregator.update(rewards[others], start)
    assert np.isneginf(scores[2])
    assert_same(scores[others], expected)
    assert_same(state, expected_state)


def test_all_failed_leaves_the_state_alone(aggregator):
    _, state = aggregator.update(random_rewards(5, 6), aggregator.init(3))
    scores, after = aggregator.update(jnp.full((6, 3), jnp.nan), state)
    assert np.isneginf(scores).all()
    jax.tree.map(np.testing.assert_array_equal, after, state)


def test_rewards_too_large_to_square_do_not_spoil_the_state():
    update = jitted("arw")
    _, state = update(random_rewards(5, 6), AGGREGATORS["arw"].init(3))
    _, after = update(jnp.full((6, 3), 1e30).at[0].set(-1e30), state)
    jax.tree.map(np.testing.assert_array_equal, after, state)


def test_one_candidate(aggregator):
    rewards = random_rewards(6, 1)
    scores, state = aggregator.update(rewards, aggregator.init(3))
    assert np.isfinite(scores).all()
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(state))


def test_constant_columns_and_ties_stay_finite_and_equal(aggregator):
    rewards = random_rewards(7, 6).at[:, 0].set(0.1).at[3].set(jnp.nan)
    rewards = rewards.at[4].set(rewards[1])
    scores, _ = aggregator.update(rewards, aggregator.init(3))
    assert np.isfinite(np.delete(scores, 3)).all()
    np.testing.assert_allclose(scores[4], scores[1], rtol=1e-6)


def test_bfloat16_rewards_are_aggregated_in_float32(aggregator):
    rewards = random_rewards(8, 6).astype(jnp.bfloat16)
    start = aggregator.init(3)
    assert_same(
        aggregator.update(rewards, start),
        aggregator.update(rewards.astype(jnp.float32), start),
    )


@pytest.mark.parametrize("name", list(AGGREGATORS))
@FEW
@given(order=st.permutations(range(6)))
def test_permuting_candidates_permutes_scores(name, order):
    rewards = random_rewards(9, 6).at[3].set(jnp.inf).at[4, 0].set(0.0)
    order = jnp.asarray(order)
    state = AGGREGATORS[name].init(3)
    scores, _ = jitted(name)(rewards, state)
    assert_same(jitted(name)(rewards[order], state)[0], scores[order])


@FEW
@given(
    levels=st.lists(st.integers(-4, 4), min_size=2, max_size=6),
    slope=st.sampled_from([0.5, 3.0]),
)
def test_rank_sees_only_the_order(levels, slope):
    column = jnp.zeros(6).at[: len(levels)].set(jnp.asarray(levels, jnp.float32))
    rewards = jnp.stack([column, -column, column * 0], axis=1)
    moved = jnp.stack([jnp.exp(slope * column), -(column**3), column * 0 + 7], axis=1)
    expected, _ = jitted("rank")(rewards, ())
    np.testing.assert_array_equal(jitted("rank")(moved, ())[0], expected)


def test_tied_candidates_share_their_mean_rank():
    rewards = jnp.asarray([[1.0], [2.0], [2.0], [3.0], [jnp.nan]])
    scores = aggregation.rank([1.0]).score(rewards, ())
    np.testing.assert_allclose(scores, [0, 0.5, 0.5, 1, -jnp.inf])


def test_columns_contribute_in_proportion_to_their_weight():
    rewards = random_rewards(10, 5)
    for factory in (aggregation.rank, aggregation.minmax, aggregation.zscore_history):
        one = factory([1.0, 0.0, 0.0])
        _, state = one.update(rewards, one.init(3))
        double = factory([2.0, 0.0, 3.0])
        terms = aggregation.contributions(double, rewards, state)
        np.testing.assert_allclose(
            terms[:, 0], 2 * one.score(rewards, state), rtol=1e-5
        )
        assert not np.asarray(terms[:, 1]).any()


@pytest.mark.parametrize(
    "weights",
    [[], np.ones((1, 2)), [0.5, float("nan")], [float("inf")], [-1.0, 2.0], [0.0]],
)
@pytest.mark.parametrize("factory", [aggregation.weighted, aggregation.arw])
def test_bad_weights(factory, weights):
    with pytest.raises(ValueError, match="weights"):
        factory(weights)


def test_weights_that_are_no_numbers():
    with pytest.raises(TypeError):
        aggregation.rank(["half", "half"])


def test_number_of_verifiers_must_fit(aggregator):
    with pytest.raises(ValueError, match="num_verifiers is 2, but weights has 3"):
        aggregator.init(2)
    with pytest.raises(ValueError, match=r"shape \[N, 3\].*got \[4, 2\]"):
        aggregator.update(jnp.ones((4, 2)), aggregator.init(3))
    with pytest.raises(ValueError, match=r"got \[0, 3\]"):
        aggregator.score(jnp.ones((0, 3)), aggregator.init(3))


@pytest.mark.parametrize(
    ("mean", "std", "name"),
    [
        ([0.0], [1.0, 1.0, 1.0], "mean"),
        ([0.0, 0.0, float("nan")], [1.0, 1.0, 1.0], "mean"),
        ([0.0, 0.0, 0.0], [1.0, 0.0, 1.0], "std"),
        ([0.0, 0.0, 0.0], [1.0, 1.0], "std"),
    ],
)
def test_bad_fixed_statistics(mean, std, name):
    with pytest.raises(ValueError, match=name):
        aggregation.zscore(WEIGHTS, mean, std)

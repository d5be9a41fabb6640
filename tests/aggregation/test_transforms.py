"""Aggregators under JAX's transforms, and on several prompts at once."""

import jax
import jax.export
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from aggregation_cases import EVERY, WEIGHTS, random_rewards

from avits_jax import aggregation
from avits_jax.aggregation import arw, checks

STATEFUL = EVERY | {
    "prior": arw(WEIGHTS, prior_mean=[0.0] * 3, prior_std=[1.0] * 3),
    "keeps_parameters": arw(WEIGHTS, optax.lbfgs()),
}


@pytest.fixture(params=list(EVERY))
def aggregator(request):
    return EVERY[request.param]


def assert_same(a, b):
    jax.tree.map(
        lambda x, y: np.testing.assert_allclose(x, y, rtol=3e-5, atol=3e-5), a, b
    )


@pytest.mark.parametrize("name", STATEFUL)
def test_a_fresh_state_can_be_donated(name):
    """No two of its leaves share a buffer, nor those of two fresh states."""
    states = [STATEFUL[name].init(3) for _ in range(2)]
    # Read, or the arguments would be dropped before they are donated.
    add = jax.jit(lambda x: jax.tree.map(lambda y: y + y, x), donate_argnums=0)
    doubled = add(states)
    assert jax.tree.structure(doubled) == jax.tree.structure(states)
    assert all(leaf.is_deleted() for leaf in jax.tree.leaves(states))


def test_an_update_takes_a_donated_state(aggregator):
    rewards = random_rewards(0, 6)
    update = jax.jit(aggregator.update, donate_argnums=1)
    _, state = update(rewards, aggregator.init(3))
    scores, _ = update(rewards, state)
    assert np.isfinite(scores).all()


def test_an_exported_update_is_read_again(aggregator):
    rewards, start = random_rewards(1, 6), aggregator.init(3)
    update = jax.jit(aggregator.update)
    written = jax.export.export(update)(rewards, start).serialize()
    found = jax.export.deserialize(written).call(rewards, start)
    assert jax.tree.structure(found[1]) == jax.tree.structure(start)
    assert_same(found, update(rewards, start))


@pytest.mark.parametrize("dtype", [jnp.float64, jnp.bfloat16])
def test_states_and_scores_are_float32_in_double_precision(aggregator, dtype):
    expected = aggregator.update(random_rewards(2, 6), aggregator.init(3))
    kinds = jax.tree.map(lambda x: x.dtype, expected)
    with jax.enable_x64(True):
        rewards = jnp.asarray(random_rewards(2, 6), dtype)
        found = jax.jit(aggregator.update)(rewards, aggregator.init(3))
    assert jax.tree.map(lambda x: x.dtype, found) == kinds
    if dtype == jnp.float64:
        assert_same(found, expected)


@pytest.mark.parametrize("name", ["arw_adam", "arw_closed_form", "zscore_history"])
def test_pooled_prompts_are_learned_from_like_one_long_list(name):
    aggregator = EVERY[name]
    rewards = random_rewards(3, 4, 6).at[1, 2, 0].set(jnp.nan)
    found = aggregator.update(rewards, aggregator.init(3))
    scores, state = aggregator.update(rewards.reshape(24, 3), aggregator.init(3))
    assert_same(found, (scores.reshape(4, 6), state))


def test_prompts_are_centred_each_on_its_own():
    """Merged moments of deviations, in NumPy; one candidate alone says nothing."""
    shift = 100 * jnp.arange(4.0)[:, None, None]
    rewards = (random_rewards(4, 4, 6) + shift).at[0, 1:].set(jnp.nan)
    aggregator = arw(WEIGHTS, "closed_form", center="prompt")
    scores, state = aggregator.update(rewards, aggregator.init(3))
    known = np.asarray(rewards[1:], np.float64)
    m2 = np.square(known - known.mean(axis=1, keepdims=True)).sum(axis=(0, 1))
    np.testing.assert_array_equal(state.moments.num_rewards, [18, 18, 18])
    np.testing.assert_array_equal(state.moments.mean, [0, 0, 0])
    np.testing.assert_allclose(state.moments.m2, m2, rtol=1e-4)
    np.testing.assert_allclose(state.log_vars, np.log(m2 / 18 + 1e-6), rtol=1e-3)
    assert np.isfinite(scores).sum() == 1 + 18


def test_each_prompt_is_a_population(aggregator):
    rewards = random_rewards(5, 3, 4)
    scores, state = aggregator.update(rewards, aggregator.init(3))
    assert scores.shape == (3, 4)
    expected = jnp.stack([aggregator.score(prompt, state) for prompt in rewards])
    assert_same(scores, expected)
    assert_same(aggregator.score(rewards, state), expected)
    terms = aggregation.contributions(aggregator, rewards, state)
    assert_same(terms.sum(axis=-1), expected)


@pytest.mark.parametrize("shape", [(3,), (2, 2, 4, 3), (2, 4, 2), (0, 4, 3)])
def test_other_shapes_are_refused(shape):
    with pytest.raises(ValueError, match=r"\[N, 3\].*\[P, N, 3\].*got \["):
        checks.split_failed(jnp.zeros(shape), 3)


@pytest.mark.parametrize("name", ["adam", "closed_form"])
@pytest.mark.parametrize("center", ["pooled", "prompt"])
def test_a_named_axis_of_vmap_is_learned_from(name, center):
    rewards = random_rewards(6, 3, 4).at[1].set(jnp.nan)
    one = arw(WEIGHTS, name, center=center)
    shards = arw(WEIGHTS, name, center=center, axis_name="shard")
    update = jax.vmap(shards.update, (0, None), (0, None), axis_name="shard")
    _, start = one.update(random_rewards(7, 4), one.init(3))
    assert_same(update(rewards, start), one.update(rewards, start))


def test_a_constant_column_over_an_axis_has_no_spread_at_all():
    rewards = jnp.full((3, 4, 3), 1e6 + 1 / 3)
    history = aggregation.zscore_history(WEIGHTS, axis_name="shard")
    update = jax.vmap(history.update, (0, None), (0, None), axis_name="shard")
    _, state = update(rewards, history.init(3))
    np.testing.assert_array_equal(state.m2, [0, 0, 0])

"""Adaptive reward weighting beyond the goldens."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import orbax.checkpoint as ocp
import pytest
from aggregation_cases import SCALES, WEIGHTS, random_rewards

from avits_jax import aggregation
from avits_jax.aggregation import arw, arw_merge, sigmas

OPTIMIZERS = ["adam", "adamw", "rmsprop", "sgd", "adagrad", "lbfgs", "closed_form"]


def run(aggregator, calls, state=None):
    """Return the state after all calls."""
    state = aggregator.init(3) if state is None else state
    update = jax.jit(aggregator.update)
    for rewards in calls:
        _, state = update(rewards, state)
    return state


def test_every_optimizer_is_known():
    assert set(aggregation.OPTIMIZERS) == set(OPTIMIZERS)


def test_closed_form_is_the_minimum_over_all_rewards():
    calls = random_rewards(0, 4, 6)
    state = run(arw(WEIGHTS, "closed_form"), calls)
    whole = np.concatenate(calls).astype(np.float64)
    np.testing.assert_allclose(
        state.log_vars, np.log(whole.var(axis=0) + 1e-6), rtol=1e-5, atol=1e-5
    )
    np.testing.assert_allclose(sigmas(state), whole.std(axis=0), rtol=1e-3)
    np.testing.assert_allclose(state.moments.mean, whole.mean(axis=0), rtol=1e-5)
    np.testing.assert_array_equal(state.moments.num_rewards, [24, 24, 24])


@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e3])
def test_lbfgs_finds_the_minimum_at_any_scale(scale):
    calls = random_rewards(1, 1, 8) * scale
    state = run(arw(WEIGHTS, "lbfgs", 1.0, 20), calls)
    best = run(arw(WEIGHTS, "closed_form"), calls)
    np.testing.assert_allclose(state.log_vars, best.log_vars, atol=0.01)


def test_an_optax_transformation_is_updated_once_a_step():
    rewards = random_rewards(2, 6) / 4
    state = run(arw(WEIGHTS, optax.sgd(0.25), num_steps=1), [rewards])
    target = np.var(rewards, axis=0) + 1e-6
    np.testing.assert_allclose(state.log_vars, -0.25 * (0.5 - 0.5 * target), rtol=1e-4)


def test_a_schedule_counts_steps_across_calls():
    falling = optax.adam(optax.linear_schedule(0.1, 0.0, 4))
    calls = random_rewards(3, 3, 6)
    aggregator = arw(WEIGHTS, falling, num_steps=2)
    early, late = run(aggregator, calls[:2]), run(aggregator, calls)
    np.testing.assert_array_equal(early.log_vars, late.log_vars)
    assert not np.array_equal(early.moments.m2, late.moments.m2)


def test_optimizer_with_a_line_search_gets_its_loss():
    calls = random_rewards(4, 1, 8)
    state = run(arw(WEIGHTS, optax.lbfgs(), num_steps=30), calls)
    best = run(arw(WEIGHTS, "closed_form"), calls)
    np.testing.assert_allclose(state.log_vars, best.log_vars, atol=0.02)


def test_nothing_is_fitted_to_one_reward():
    aggregator = arw(WEIGHTS)
    one = run(aggregator, random_rewards(5, 1, 1))
    np.testing.assert_array_equal(one.log_vars, np.zeros(3))
    two = run(aggregator, random_rewards(6, 1, 1), one)
    assert np.asarray(two.log_vars != 0).all()


def test_prompt_centering_ignores_how_hard_a_prompt_is():
    calls = random_rewards(7, 4, 6)
    offsets = 100 * SCALES * np.arange(4, dtype=np.float32)[:, None, None]
    aggregator = arw(WEIGHTS, "closed_form", center="prompt")
    plain, shifted = run(aggregator, calls), run(aggregator, calls + offsets)
    np.testing.assert_allclose(shifted.log_vars, plain.log_vars, atol=2e-3)
    within = np.mean(np.var(calls, axis=1), axis=0)
    np.testing.assert_allclose(plain.log_vars, np.log(within + 1e-6), atol=1e-4)


def test_prompt_centering_does_not_count_a_single_candidate():
    aggregator = arw(WEIGHTS, "closed_form", center="prompt")
    state = run(aggregator, random_rewards(8, 2, 6))
    after = run(aggregator, random_rewards(9, 1, 1), state)
    np.testing.assert_array_equal(after.moments.num_rewards, [12, 12, 12])
    np.testing.assert_array_equal(after.log_vars, state.log_vars)


def test_a_prior_counts_as_that_many_rewards():
    past, new = np.asarray(random_rewards(10, 40)), random_rewards(11, 6)
    aggregator = arw(
        WEIGHTS,
        "closed_form",
        prior_mean=past.mean(axis=0),
        prior_std=past.std(axis=0),
        prior_count=40,
    )
    np.testing.assert_allclose(sigmas(aggregator.init(3)), past.std(axis=0), rtol=1e-3)
    whole = run(arw(WEIGHTS, "closed_form"), [jnp.asarray(past), new])
    state = run(aggregator, [new])
    np.testing.assert_allclose(state.log_vars, whole.log_vars, atol=1e-4)
    np.testing.assert_array_equal(state.moments.num_rewards, [46, 46, 46])


@pytest.mark.parametrize("center", ["pooled", "prompt"])
def test_merged_shards_hold_the_moments_of_the_whole(center):
    calls = random_rewards(12, 5, 6)
    aggregator = arw(WEIGHTS, center=center)
    whole = run(aggregator, calls)
    a, b = run(aggregator, calls[:3]), run(aggregator, calls[3:])
    merged = jax.jit(arw_merge)(a, b)
    for found, expected in zip(merged.moments, whole.moments, strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(
        merged.log_vars, 0.6 * a.log_vars + 0.4 * b.log_vars, rtol=1e-5
    )
    jax.tree.map(np.testing.assert_array_equal, merged.opt_state, a.opt_state)


def test_what_both_shards_started_from_counts_once():
    calls = random_rewards(13, 5, 6)
    aggregator = arw(WEIGHTS, "closed_form")
    start = run(aggregator, calls[:1])
    a, b = run(aggregator, calls[1:3], start), run(aggregator, calls[3:], start)
    merged, whole = arw_merge(a, b, shared=start), run(aggregator, calls)
    np.testing.assert_array_equal(merged.moments.num_rewards, [30, 30, 30])
    np.testing.assert_allclose(merged.moments.mean, whole.moments.mean, rtol=1e-4)
    np.testing.assert_allclose(merged.log_vars, whole.log_vars, atol=1e-4)


def test_merging_untouched_states_changes_nothing():
    start = arw(WEIGHTS).init(3)
    jax.tree.map(np.testing.assert_array_equal, arw_merge(start, start), start)


@pytest.mark.parametrize("optimizer", ["adam", "closed_form"])
def test_any_number_of_states_merge_in_any_grouping(optimizer):
    calls = random_rewards(16, 6, 6)
    aggregator = arw(WEIGHTS, optimizer)
    whole = run(aggregator, calls)
    a, b, c = (run(aggregator, calls[n : 2 * n + 1]) for n in (0, 1, 3))
    merged = arw_merge(a, b, c)
    for found in (merged, arw_merge(a, arw_merge(b, c)), arw_merge(arw_merge(a, b), c)):
        for name, expected in whole.moments._asdict().items():
            actual = getattr(found.moments, name)
            np.testing.assert_allclose(actual, expected, rtol=1e-4, atol=1e-4)
        np.testing.assert_allclose(found.log_vars, merged.log_vars, rtol=1e-4)
    if optimizer == "adam":
        mean = (a.log_vars + 2 * b.log_vars + 3 * c.log_vars) / 6
        np.testing.assert_allclose(merged.log_vars, mean, rtol=1e-5)
        jax.tree.map(np.testing.assert_array_equal, merged.opt_state, c.opt_state)
    jax.tree.map(np.testing.assert_array_equal, arw_merge(b), b)


def test_a_state_that_does_not_fit_is_named(unchecked):
    a, other = arw(WEIGHTS).init(3), arw(WEIGHTS, "lbfgs").init(3)
    with pytest.raises(ValueError, match=r"states\[2\].* same aggregator"):
        arw_merge(a, a, other)
    with pytest.raises(ValueError, match="shared must be .* same aggregator"):
        arw_merge(a, a, shared=other)
    with pytest.raises(ValueError, match="at least one state"):
        arw_merge()
    with pytest.raises(TypeError, match=r"states\[1\] must be .* got Moments"):
        arw_merge(a, a.moments)


@pytest.mark.parametrize("optimizer", ["adam", "lbfgs", "closed_form"])
def test_a_state_survives_a_checkpoint(optimizer, tmp_path):
    aggregator = arw(WEIGHTS, optimizer)
    calls = random_rewards(14, 3, 6)
    state = run(aggregator, calls[:2])
    with ocp.StandardCheckpointer() as checkpointer:
        checkpointer.save(tmp_path / "state", state)
        checkpointer.wait_until_finished()
        restored = checkpointer.restore(tmp_path / "state", aggregator.init(3))
    jax.tree.map(
        np.testing.assert_array_equal,
        run(aggregator, calls[2:], restored),
        run(aggregator, calls[2:], state),
    )


def test_the_optimizer_persists_between_calls():
    rewards = random_rewards(15, 6)
    short = arw(WEIGHTS, "adam", num_steps=2)
    long = arw(WEIGHTS, "adam", num_steps=4)
    first = run(short, [rewards])
    again = run(short, [rewards], first)
    np.testing.assert_allclose(again.log_vars, run(long, [rewards]).log_vars, rtol=1e-4)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"optimizer": "adm"}, "did you mean 'adam'"),
        ({"optimizer": "L-BFGS"}, "did you mean 'lbfgs'"),
        ({"learning_rate": 0.0}, "learning_rate .* above 0"),
        ({"learning_rate": float("nan")}, "learning_rate"),
        ({"num_steps": 0}, "num_steps must be at least 1"),
        ({"center": "propmt"}, "did you mean 'prompt'"),
        ({"prior_mean": [0.0, 0.0, 0.0]}, "prior_mean needs prior_std"),
        ({"prior_std": [1.0, 1.0, 1.0]}, "prior_std needs prior_mean"),
        ({"prior_mean": [0.0], "prior_std": [1.0, 1.0, 1.0]}, "prior_mean"),
        ({"prior_mean": [0.0] * 3, "prior_std": [1.0, 0.0, 1.0]}, "prior_std"),
        ({"center": "prompt", "prior_mean": [0.0] * 3}, "no meaning"),
        ({"prior_count": 0}, "prior_count"),
    ],
)
def test_bad_values(options, message):
    with pytest.raises(ValueError, match=message):
        arw(WEIGHTS, **options)


@pytest.mark.parametrize(
    "options",
    [{"optimizer": 3}, {"num_steps": 2.5}, {"learning_rate": "fast"}],
)
def test_bad_types(options):
    with pytest.raises(TypeError):
        arw(WEIGHTS, **options)

"""Parity with the PyTorch original from stored inputs and outputs."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from aggregation_cases import arw_cases, load_golden

from avits_jax import aggregation

# Two float32 sums in another order.
CLOSE = {"rtol": 1e-5, "atol": 1e-5}


def _simple_cases():
    golden = load_golden("aggregators.npz")
    weights = golden["weights"]
    return {
        "weighted": aggregation.weighted(weights),
        "rank": aggregation.rank(weights),
        "minmax": aggregation.minmax(weights),
        "zscore": aggregation.zscore(weights, golden["mean"], golden["std"]),
        "zscore_candidate": aggregation.zscore_candidate(weights),
    }


@pytest.mark.parametrize("name", list(_simple_cases()))
def test_simple(name):
    golden = load_golden("aggregators.npz")
    aggregator = _simple_cases()[name]
    state = aggregator.init(2)
    scores, _ = aggregator.update(jnp.asarray(golden["rewards"]), state)
    np.testing.assert_allclose(scores, golden[name], **CLOSE)


@pytest.mark.parametrize("name", ["minmax", "zscore_candidate"])
def test_constant_column(name):
    golden = load_golden("aggregators.npz")
    rewards = jnp.asarray(golden["rewards_constant"])
    scores = _simple_cases()[name].score(rewards, ())
    np.testing.assert_allclose(scores, golden[f"{name}_constant"], **CLOSE)


def test_zscore_history():
    golden = load_golden("aggregators.npz")
    aggregator = aggregation.zscore_history(golden["weights"])
    _, state = aggregator.update(
        jnp.asarray(golden["history_first"]), aggregator.init(2)
    )
    scores, _ = aggregator.update(jnp.asarray(golden["rewards"]), state)
    np.testing.assert_allclose(scores, golden["zscore_history"], **CLOSE)


@pytest.mark.parametrize("case", arw_cases(), ids=lambda case: case["name"])
def test_arw(case, optimized):
    """Log variances after every call, each call's scores, and the rescored history.

    The tolerance is relative beyond 1: in its last call the original's L-BFGS stops
    short of the minimum, where float32 losses no longer differ. Calls are filled up to
    one size with failed candidates, which must change nothing.
    """
    golden = load_golden("arw.npz")
    aggregator = aggregation.arw(
        golden["weights"], case["optimizer"], case["lr"], case["num_steps"]
    )
    update = jax.jit(aggregator.update)
    state = aggregator.init(3)
    log_vars, scores = [], []
    for rewards in np.split(golden["rewards"], np.cumsum(golden["sizes"])[:-1]):
        filled = np.full((max(golden["sizes"]), 3), np.nan, np.float32)
        filled[: len(rewards)] = rewards
        found, state = update(jnp.asarray(filled), state)
        log_vars.append(state.log_vars)
        scores.append(found[: len(rewards)])
    rescored = aggregator.score(jnp.asarray(golden["rewards"]), state)
    close = {"rtol": case["tolerance"], "atol": case["tolerance"]}
    expected = {
        key.removeprefix(case["name"] + "."): value
        for key, value in golden.items()
        if key.startswith(case["name"] + ".")
    }
    np.testing.assert_allclose(jnp.stack(log_vars), expected["log_vars"], **close)
    np.testing.assert_allclose(jnp.concatenate(scores), expected["scores"], **close)
    np.testing.assert_allclose(rescored, expected["rescored_history"], **close)


LBFGS = load_golden("lbfgs.npz")


@pytest.mark.parametrize("name", sorted({key.rpartition(".")[0] for key in LBFGS}))
def test_lbfgs_on_its_way(name):
    """Log variances after every single step, far from the minimum.

    Made by tools/goldens/lbfgs_golden.py.
    """
    rewards, log_vars = LBFGS[f"{name}.rewards"], LBFGS[f"{name}.log_vars"]
    num_verifiers = rewards.shape[-1]
    aggregator = aggregation.arw(
        np.ones(num_verifiers), "lbfgs", float(LBFGS[f"{name}.lr"]), num_steps=1
    )
    _, learned = jax.lax.scan(
        lambda state, batch: (aggregator.update(batch, state)[1],) * 2,
        aggregator.init(num_verifiers),
        jnp.asarray(rewards),
    )
    np.testing.assert_allclose(learned.log_vars, log_vars, rtol=1e-5, atol=1e-5)

"""Rewards, goldens and aggregators shared by the aggregation tests."""

import functools
import json
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from avits_jax import aggregation

GOLDEN = Path(__file__).parents[1] / "golden" / "search"
WEIGHTS = [0.5, 0.5, 1.0]
SCALES = np.array([0.1, 1.0, 20.0], np.float32)


def load_golden(name):
    """Return the arrays of one golden file."""
    with np.load(GOLDEN / name) as arrays:
        return dict(arrays)


def arw_cases():
    """Return the golden ARW cases: name, optimizer, lr, num_steps, tolerance."""
    return json.loads((GOLDEN / "cases.json").read_text())["arw"]


def random_rewards(seed, *shape):
    """Return float32 rewards ``[..., 3]`` with one scale and offset per verifier."""
    noise = np.random.default_rng(seed).standard_normal((*shape, 3))
    return jnp.asarray((noise + [0.0, -1.0, 2.0]) * SCALES, jnp.float32)


AGGREGATORS = {
    "weighted": aggregation.weighted(WEIGHTS),
    "rank": aggregation.rank(WEIGHTS),
    "minmax": aggregation.minmax(WEIGHTS),
    "zscore": aggregation.zscore(WEIGHTS, [0.0, -1.0, 40.0], [0.1, 1.0, 20.0]),
    "zscore_candidate": aggregation.zscore_candidate(WEIGHTS),
    "zscore_history": aggregation.zscore_history(WEIGHTS),
    "arw": aggregation.arw(WEIGHTS),
    "arw_lbfgs": aggregation.arw(WEIGHTS, "lbfgs", 1.0, 2),
}

# With every optimiser, and both ways of centring.
EVERY = (
    {name: each for name, each in AGGREGATORS.items() if "arw" not in name}
    | {
        f"arw_{name}": aggregation.arw(WEIGHTS, name, num_steps=2)
        for name in aggregation.OPTIMIZERS
    }
    | {"arw_prompt": aggregation.arw(WEIGHTS, num_steps=2, center="prompt")}
)


@functools.cache
def jitted(name):
    """Return the compiled update of one of `AGGREGATORS`."""
    return jax.jit(AGGREGATORS[name].update)

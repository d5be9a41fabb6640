"""Aggregators inside shard_map and on explicit meshes; test_many_devices.py runs this.

Eight devices: four for prompts, two for candidates.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from aggregation_cases import EVERY, WEIGHTS, random_rewards
from jax.sharding import AxisType, NamedSharding
from jax.sharding import PartitionSpec as P

from avits_jax import aggregation

AXES = ("prompt", "candidate")
REWARDS = random_rewards(0, 8, 6).at[3, 2, 1].set(jnp.nan)
# Two shards of three candidates for each prompt, that learn alone.
HALVES = REWARDS.reshape(16, 3, 3)


def mesh_of(kind):
    return jax.make_mesh((4, 2), AXES, axis_types=(kind,) * 2)


def assert_same(actual, wanted):
    assert jax.tree.structure(actual) == jax.tree.structure(wanted)
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=3e-5, atol=3e-5),
        actual,
        wanted,
    )


@pytest.fixture(params=list(EVERY), scope="module")
def aggregator(request):
    return EVERY[request.param]


@pytest.fixture(scope="module")
def alone(aggregator):
    """What each half learns, on one device."""
    return jax.jit(jax.vmap(aggregator.update, (0, None)))(HALVES, aggregator.init(3))


def test_prompts_on_an_explicit_mesh(aggregator, alone):
    state = aggregator.init(3)
    mesh = mesh_of(AxisType.Explicit)
    with jax.set_mesh(mesh):
        rewards = jax.device_put(HALVES, NamedSharding(mesh, P("prompt")))
        found = jax.jit(jax.vmap(aggregator.update, (0, None)))(rewards, state)
    assert jax.typeof(found[0]).sharding.spec[0] == "prompt"
    assert_same(found, alone)


def test_candidates_on_an_explicit_mesh(aggregator):
    rewards, state = random_rewards(1, 8).at[5, 0].set(jnp.nan), aggregator.init(3)
    wanted = jax.jit(aggregator.update)(rewards, state)
    mesh = mesh_of(AxisType.Explicit)
    with jax.set_mesh(mesh):
        split = jax.device_put(rewards, NamedSharding(mesh, P("candidate")))
        found = jax.jit(aggregator.update)(split, state)
    assert_same(found, wanted)


def test_prompts_and_candidates_in_shard_map(aggregator, alone):
    def update(rewards, state):
        scores, state = jax.vmap(aggregator.update, (0, None))(rewards, state)
        return scores, jax.tree.map(lambda x: x[:, None], state)

    shards = jax.shard_map(
        update,
        mesh=mesh_of(AxisType.Auto),
        in_specs=(P(*AXES), P()),
        out_specs=P(*AXES),
    )
    scores, state = jax.jit(shards)(REWARDS, aggregator.init(3))
    state = jax.tree.map(lambda x: x.reshape(16, *x.shape[2:]), state)
    assert_same((scores.reshape(16, 3), state), alone)


def learners(axis_name):
    """Aggregators that can learn over an axis."""
    found = {
        name: aggregation.arw(
            WEIGHTS, name, 1.0 if name == "lbfgs" else 0.05, 2, axis_name=axis_name
        )
        for name in aggregation.OPTIMIZERS
    }
    history = aggregation.zscore_history(WEIGHTS, axis_name=axis_name)
    return found | {"zscore_history": history}


@pytest.mark.parametrize("name", learners(None))
def test_shards_of_an_axis_end_with_one_state(name):
    """That it is the same in all is proved by the check of ``out_specs``."""
    one, sharded = (learners(axis)[name] for axis in (None, "candidate"))
    update = jax.shard_map(
        sharded.update,
        mesh=mesh_of(AxisType.Auto),
        in_specs=(P("candidate"), P()),
        out_specs=(P("candidate"), P()),
    )
    learn = jax.jit(one.update)
    _, start = learn(REWARDS[2], one.init(3))
    assert_same(jax.jit(update)(REWARDS[3], start), learn(REWARDS[3], start))


def test_prompts_of_all_shards_are_learned_from():
    sharded = aggregation.arw(WEIGHTS, center="prompt", axis_name="prompt")
    update = jax.shard_map(
        sharded.update,
        mesh=mesh_of(AxisType.Auto),
        in_specs=(P("prompt"), P()),
        out_specs=(P("prompt"), P()),
    )
    one = aggregation.arw(WEIGHTS, center="prompt")
    found = jax.jit(update)(REWARDS, one.init(3))
    assert_same(found, one.update(REWARDS, one.init(3)))

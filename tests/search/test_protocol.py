"""Every search, and every aggregator in one, under every transform of JAX."""

from pathlib import Path

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from many_devices import pass_on_eight
from search_cases import SMALL, SUBJECTS, assert_same

KEYS = jax.random.split(jax.random.key(2), 2)


@pytest.fixture(params=SUBJECTS)
def name(request) -> str:
    """Each of them in turn."""
    return request.param


@pytest.fixture(scope="module")
def small_toy(build_toy):
    """Four steps, with conditioning of each candidate's own."""
    return build_toy(4, with_extra=True)


@pytest.fixture(scope="module")
def bound(small_toy):
    """Return ``name -> search``, compiled once each; it takes its state for good."""
    made = {}

    def get(name):
        if name not in made:
            case, aggregator = SUBJECTS[name]
            search = case.bind(small_toy, aggregator)
            made[name] = jax.jit(search, donate_argnums=3)
        return made[name]

    return get


def _state(name):
    return SUBJECTS[name][1].init(2)


@pytest.fixture
def plain(bound, small_toy, name):
    """The output for the first prompt under `jax.jit`, its state donated."""
    state = _state(name)
    output = bound(name)(small_toy.params, KEYS[0], small_toy.cond, state)
    assert all(leaf.is_deleted() for leaf in jax.tree.leaves(state))
    return output


@pytest.mark.parametrize("name", SMALL)
def test_eager_equals_jit(name, plain, small_toy):
    case, aggregator = SUBJECTS[name]
    search = case.bind(small_toy, aggregator)
    assert_same(name, search(small_toy.params, KEYS[0], small_toy.cond, None), plain)


def test_vmap_over_prompts_equals_a_loop(name, plain, bound, small_toy):
    conds = jax.tree.map(lambda x: x[:2], small_toy.conds)
    start = [_state(name), plain.aggregator_state]
    states = jax.tree.map(lambda *x: jnp.stack(x), *start)
    together = jax.vmap(bound(name), (None, 0, 0, 0))(
        small_toy.params, KEYS, conds, states
    )
    for n in range(2):
        cond = jax.tree.map(lambda x, n=n: x[n], conds)
        alone = bound(name)(
            small_toy.params, KEYS[n], cond, jax.tree.map(jnp.copy, start[n])
        )
        assert_same(name, jax.tree.map(lambda x, n=n: x[n], together), alone)


def test_an_exported_search_is_the_search(name, plain, bound, small_toy):
    arguments = small_toy.params, KEYS[0], small_toy.cond, _state(name)
    stored = jax.export.export(bound(name))(*arguments).serialize()
    assert_same(name, jax.export.deserialize(stored).call(*arguments), plain)


def test_x64_changes_nothing(name, plain, small_toy):
    case, aggregator = SUBJECTS[name]
    with jax.enable_x64(True):
        search = jax.jit(case.bind(small_toy, aggregator))
        output = search(small_toy.params, KEYS[0], small_toy.cond, None)
    assert output.scores.dtype == jnp.float32 and output.best_index.dtype == jnp.int32
    assert_same(name, output, plain, tolerance=1e-3)


@pytest.mark.parametrize("name", SMALL)
def test_bfloat16_latents(name, plain, build_toy):
    toy = build_toy(4, with_extra=True, dtype=jnp.bfloat16)
    case, aggregator = SUBJECTS[name]
    search = jax.jit(case.but(keep_latents=True).bind(toy, aggregator))
    output = search(toy.params, KEYS[0], toy.cond, None)
    assert {x.dtype for x in output.latents.latents.values()} == {jnp.bfloat16.dtype}
    assert output.rewards.dtype == output.scores.dtype == jnp.float32
    assert np.isfinite(output.scores[output.valid]).all()
    chex.assert_trees_all_equal_shapes_and_dtypes(
        output.aggregator_state, plain.aggregator_state
    )


def test_gradients_of_scores(small_toy):
    """Rewards are linear in the picture's weight, clips smooth in the network's."""
    case, aggregator = SUBJECTS["weighted"]
    search = case.bind(small_toy, aggregator)

    def total(params):
        output = search(params, KEYS[0], small_toy.cond, None)
        return output.scores.sum(), output.rewards

    params = small_toy.params
    slopes, rewards = jax.jit(jax.grad(total, has_aux=True))(params)
    wanted = 0.7 * rewards[:, 0].sum() / params.verifiers[0]
    np.testing.assert_allclose(slopes.verifiers[0], wanted, rtol=1e-4)
    step = 1e-3
    up, down = (
        total(params._replace(generator={"frequency": jnp.float32(3 + each)}))[0]
        for each in (step, -step)
    )
    slope = slopes.generator["frequency"]
    np.testing.assert_allclose(slope, (up - down) / (2 * step), rtol=0.02)


@pytest.mark.slow  # a minute; other tests on eight devices run
def test_on_a_mesh():
    """Runs protocol_on_a_mesh.py where there are eight devices."""
    pass_on_eight(Path(__file__).with_name("protocol_on_a_mesh.py"))

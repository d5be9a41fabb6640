"""Prompts over eight devices; test_protocol.py runs this file in its own process."""

import functools

import jax
import jax.numpy as jnp
import pytest
from jax.sharding import AxisType, NamedSharding, PartitionSpec
from search_cases import SUBJECTS, assert_same

KEYS = jax.random.split(jax.random.key(2), 8)
SPREAD = PartitionSpec("prompt")


@pytest.fixture(scope="module")
def problem(build_toy):
    """A toy of four steps and eight prompts."""
    toy = build_toy(4, with_extra=True)
    conds = jax.tree.map(lambda x: x[jnp.arange(8) % 3], toy.conds)
    return toy, conds


@pytest.fixture(scope="module", params=SUBJECTS)
def subject(request, problem):
    """A search for many prompts, its states, and what one device finds."""
    toy, conds = problem
    case, aggregator = SUBJECTS[request.param]
    state = aggregator.init(2)
    states = jax.tree.map(lambda x: jnp.stack([x] * 8), state)
    search = jax.vmap(case.bind(toy, aggregator), (None, 0, 0, 0))
    wanted = jax.jit(search)(toy.params, KEYS, conds, states)
    return request.param, search, states, wanted


def _mesh(kind):
    return jax.make_mesh((8,), ("prompt",), axis_types=(kind,))


def test_inside_shard_map(subject, problem):
    """With JAX's check of what varies over devices."""
    name, search, states, wanted = subject
    toy, conds = problem
    spread = jax.shard_map(
        functools.partial(search, toy.params),
        mesh=_mesh(AxisType.Auto),
        in_specs=SPREAD,
        out_specs=SPREAD,
        check_vma=True,
    )
    assert_same(name, jax.jit(spread)(KEYS, conds, states), wanted)


def test_on_an_explicit_mesh(subject, problem):
    name, search, states, wanted = subject
    toy, conds = problem
    mesh = _mesh(AxisType.Explicit)
    with jax.set_mesh(mesh):
        arguments = jax.device_put((KEYS, conds, states), NamedSharding(mesh, SPREAD))
        output = jax.jit(search)(toy.params, *arguments)
    assert output.scores.sharding.spec[0] == "prompt"
    assert_same(name, output, wanted)

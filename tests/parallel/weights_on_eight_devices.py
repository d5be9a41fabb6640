"""Where weights lie on eight devices; test_eight_devices.py runs this file."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import NamedSharding, PartitionSpec

import avits_jax as avits
from avits_jax.nn.apart import compile_apart
from avits_jax.parallel import (
    jit_search,
    make_mesh,
    place,
    place_params,
    replicate,
    to_host,
)
from avits_jax.types import Params

KEY = jax.random.key(0)
JUDGES = ("desync@tiny", "desync_smooth@tiny")


def loaded(mesh=None):
    generator, weights = avits.generators.load("javisdit-tiny", num_steps=2, mesh=mesh)
    verifiers, judges = avits.verifiers.load(
        JUDGES, fps=generator.fps, sample_rate=generator.sample_rate, mesh=mesh
    )
    return generator, verifiers, Params(weights, judges)


def shard_shapes(tree):
    return [leaf.sharding.shard_shape(leaf.shape) for leaf in jax.tree.leaves(tree)]


def arrays(tree):
    """Every array once, however often it occurs."""
    return {id(leaf): leaf for leaf in jax.tree.leaves(tree)}.values()


def bytes_by_device(tree):
    held = dict.fromkeys(range(8), 0)
    for shard in (shard for leaf in arrays(tree) for shard in leaf.addressable_shards):
        held[shard.device.id] += shard.data.nbytes
    return held


def test_weights_that_were_read_split_stay_split_and_find_the_same_clip():
    mesh = make_mesh(model=2)
    generator, verifiers, params = loaded(mesh)
    shapes, held = shard_shapes(params), bytes_by_device(params)
    whole = sum(leaf.nbytes for leaf in arrays(params))
    assert len(set(held.values())) == 1 and held[0] < 0.6 * whole
    settings = {
        "generator": generator,
        "verifiers": verifiers,
        "aggregator": avits.arw([1.0] * 2),
        "num_candidates": 4,
    }
    run, placed = jit_search(
        avits.best_of_n, params, mesh, population=("candidate",), **settings
    )
    assert shard_shapes(placed) == shapes
    assert bytes_by_device(placed) == held
    assert placed.verifiers[0] is placed.verifiers[1]
    cond = avits.encode_prompt("a dog barks", generator, verifiers)
    output = to_host(run(placed, KEY, cond))
    alone = jax.jit(functools.partial(avits.best_of_n, **settings))
    wanted = alone(loaded()[2], KEY, cond)
    assert output.best_index == wanted.best_index >= 0
    np.testing.assert_allclose(output.rewards, wanted.rewards, atol=5e-5)
    np.testing.assert_allclose(output.best.video, wanted.best.video, atol=5e-5)
    # The vocoder's random weights saturate, which makes much of rounding.
    np.testing.assert_allclose(output.best.audio, wanted.best.audio, atol=1e-2)


def toy_params(mesh, spec):
    """One matrix that lies on a mesh, one that does not, and a verifier's number."""
    matrix = jnp.arange(64.0).reshape(8, 8)
    there = jax.device_put(matrix, NamedSharding(mesh, spec))
    return Params({"there": there, "new": matrix}, (jnp.float32(1),))


def toy_parts():
    rules = ((r"there|new", -1),)
    unused = dict.fromkeys(("init", "step", "decode", "predict"), None)
    generator = avits.Generator(**unused, sigmas=(1.0, 0.0), rules=rules)
    return {"generator": generator, "verifiers": [avits.Verifier("one", None)]}


def test_what_lies_on_the_mesh_stays_and_the_rest_follows_the_parts_rules():
    mesh = make_mesh(model=4)
    params = toy_params(mesh, PartitionSpec("model"))
    placed = place_params(params, mesh, **toy_parts())
    assert placed.generator["there"] is params.generator["there"]
    assert shard_shapes(placed) == [(8, 2), (2, 8), ()]
    assert placed.verifiers[0].sharding.mesh == mesh
    # Without the parts nothing has rules.
    assert shard_shapes(place_params(params, mesh)) == [(8, 8), (2, 8), ()]


def test_rules_say_nothing_where_no_devices_share():
    """So that weights of other names, a wrapped generator's, can be copied."""
    other, parts = Params({"own": jnp.ones((8, 8))}, (jnp.ones(3),)), toy_parts()
    assert shard_shapes(place_params(other, make_mesh(), **parts)) == [(8, 8), (3,)]
    with pytest.raises(ValueError, match="no parameter matches.*there"):
        place_params(other, make_mesh(model=2), **parts)


def test_given_rules_alone_decide():
    mesh = make_mesh(model=4)
    params = toy_params(mesh, PartitionSpec("model"))
    whole = place_params(params, mesh, Params((), ((),)), **toy_parts())
    assert shard_shapes(whole) == [(8, 8), (8, 8), ()]
    split = place_params(params, mesh, Params(((r"there", -1),), ((),)))
    assert shard_shapes(split) == [(8, 8), (8, 2), ()]


def test_another_mesh_is_another_place():
    """Weights that lie on a mesh of other groups are moved."""
    params = toy_params(make_mesh(model=2), PartitionSpec("model"))
    mesh = make_mesh(model=4)
    placed = place_params(params, mesh, **toy_parts())
    assert shard_shapes(placed) == [(8, 2), (8, 2), ()]
    assert all(leaf.sharding.mesh == mesh for leaf in jax.tree.leaves(placed))
    whole = place_params(params, make_mesh(), **toy_parts())
    assert all(leaf.is_fully_replicated for leaf in jax.tree.leaves(whole))


def test_shapes_stay_where_they_would_lie():
    mesh = make_mesh(model=4)
    params = toy_params(mesh, PartitionSpec("model"))
    like = jax.tree.map(lambda x: jax.ShapeDtypeStruct.like(x), params)
    assert shard_shapes(place_params(like, mesh, **toy_parts()))[1] == (2, 8)


def test_verifiers_without_rules_of_their_own_are_counted():
    mesh = make_mesh(model=4)
    parts = toy_parts() | {"verifiers": ()}
    with pytest.raises(ValueError, match=r"one entry per verifier's .*\(1\), got 0"):
        place_params(toy_params(mesh, PartitionSpec()), mesh, **parts)


def test_an_array_that_occurs_twice_is_placed_once():
    mesh = make_mesh(model=4)
    matrix = np.ones((8, 8), np.float32)
    placed = replicate({"a": matrix, "b": [matrix, matrix.copy()]}, mesh)
    assert placed["a"] is placed["b"][0]
    assert placed["a"] is not placed["b"][1]
    assert bytes_by_device(placed)[0] == 2 * matrix.nbytes
    split = [NamedSharding(mesh, PartitionSpec(*axes)) for axes in ((), ("model",))]
    whole, part = place([matrix, matrix], split)
    assert shard_shapes([whole, part]) == [(8, 8), (2, 8)]


def test_verifiers_of_one_tree_and_other_rules_are_apart():
    mesh = make_mesh(model=4)
    tree = {"new": jnp.ones((8, 8))}
    split = ((r"new", 0),)
    placed = place_params(Params((), (tree,) * 3), mesh, Params((), (split, (), split)))
    assert shard_shapes(placed) == [(2, 8), (8, 8), (2, 8)]
    assert placed.verifiers[0] is placed.verifiers[2]


def test_only_weights_on_one_device_are_taken_apart_by_layers():
    def run(stack, x):
        return jax.lax.scan(lambda x, weight: (x @ weight, None), x, stack)[0]

    stack, x = jnp.ones((2, 512, 512)), jnp.ones((1, 512))
    assert compile_apart(run, stack, x) is not None
    assert compile_apart(run, *replicate((stack, x), make_mesh())) is None

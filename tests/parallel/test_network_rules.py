"""Every large network's sharding rules fit its full size and leave little copied."""

import math

import goldens  # noqa: F401  (makes tools importable)
import jax
import pytest
from jax.sharding import AbstractMesh

from avits_jax.catalogue.verifiers import FAMILIES, MINI
from avits_jax.generators.javisdit.config import Networks
from avits_jax.generators.ltx2.parts import LTX_2_3
from avits_jax.parallel.sharding import param_shardings
from tools import full_size

_WITH_WEIGHTS = [family for family in FAMILIES if family.checkpoint]
# Parameters (not bytes) that every device may hold a copy of.
_MOST_COPIED = 5_000_000


@pytest.fixture(scope="module")
def javisdit():
    return full_size.javisdit()


def _mesh(devices):
    return AbstractMesh((2, devices), ("candidate", "model"))


def _check(like, shardings, devices):
    pairs = zip(jax.tree.leaves(like), jax.tree.leaves(shardings), strict=True)
    sizes = [(math.prod(x.shape), math.prod(s.shard_shape(x.shape))) for x, s in pairs]
    whole, part = (sum(column) for column in zip(*sizes, strict=True))
    copied = sum(size for size, own in sizes if size == own)
    assert copied <= _MOST_COPIED < whole
    assert part == copied + (whole - copied) // devices


@pytest.mark.parametrize("family", _WITH_WEIGHTS, ids=lambda family: family.module)
def test_a_verifiers_weights_split_over_8_and_16_devices(family):
    judges = full_size.judges(tuple(family.outputs), full_size.clips().made)
    (rules,) = {each.made.rules for each in judges}
    like = judges[0].params
    for devices in (8, 16):
        _check(like, param_shardings(like, _mesh(devices), rules), devices)


@pytest.mark.parametrize("devices", [8, 16])
def test_javisdits_weights_split_over_8_and_16_devices(javisdit, devices):
    split = param_shardings(javisdit.params, _mesh(devices), javisdit.made.rules)
    for network in Networks._fields:
        _check(getattr(javisdit.params, network), getattr(split, network), devices)


@pytest.mark.parametrize("name", ["ltx-2", "ltx-2.3"])
def test_ltx_2s_weights_split_over_8_and_16_devices(name):
    model = full_size.published(name)
    for devices in (8, 16):
        split = param_shardings(model.params, _mesh(devices), model.made.rules)
        for network in model.params._fields:
            _check(getattr(model.params, network), getattr(split, network), devices)


def test_the_reduced_ltx_2s_weights_split_over_2_devices():
    for part in LTX_2_3.parts:
        shapes = part.build(LTX_2_3.reduced[part.name])[1]
        split = jax.tree.leaves(param_shardings(shapes, _mesh(2), part.split))
        assert all(leaf.is_fully_replicated for leaf in split) == (not part.split)


def test_rules_of_a_network_that_is_left_out_say_nothing(javisdit):
    rules, mesh = javisdit.made.rules, _mesh(8)
    split = param_shardings(javisdit.params._replace(t5=()), mesh, rules)
    assert split.t5 == () and split.prior
    with pytest.raises(ValueError, match=r"no parameter matches.*'t5/encoder"):
        param_shardings(javisdit.params._replace(t5={"other": 0}), mesh, rules)


def test_minis_rules_fit():
    model = full_size.mini()
    for each in (model, *full_size.judges(MINI, model.made)):
        split = jax.tree.leaves(param_shardings(each.params, _mesh(4), each.made.rules))
        assert not all(leaf.is_fully_replicated for leaf in split), each.made

"""Every large network's sharding rules fit its full size and leave little copied."""

import importlib
import math

import jax
import pytest
from jax.sharding import AbstractMesh

from avits_jax.catalogue.verifiers import FAMILIES
from avits_jax.generators.javisdit.networks import networks
from avits_jax.generators.javisdit.parts import MODEL, PARTS, PUBLISHED
from avits_jax.parallel.sharding import param_shardings

_JUDGES = {
    each.module: importlib.import_module(f"avits_jax.verifiers.{each.module}.parts")
    for each in FAMILIES
    if each.checkpoint
}
_JAVISDIT = {part.name: part for part in PARTS}
# Parameters (not bytes) that every device may hold a copy of.
_MOST_COPIED = 5_000_000


def _full(part):
    return part.build(part.config)[1]


def _check(like, rules, devices):
    mesh = AbstractMesh((2, devices), ("candidate", "model"))
    shardings = param_shardings(like, mesh, rules)
    pairs = zip(jax.tree.leaves(like), jax.tree.leaves(shardings), strict=True)
    sizes = [(math.prod(x.shape), math.prod(s.shard_shape(x.shape))) for x, s in pairs]
    whole, part = (sum(column) for column in zip(*sizes, strict=True))
    copied = sum(size for size, own in sizes if size == own)
    assert copied <= _MOST_COPIED < whole
    assert part == copied + (whole - copied) // devices


@pytest.mark.parametrize("family", _JUDGES)
def test_a_verifiers_weights_split_over_8_and_16_devices(family):
    (part,) = _JUDGES[family].MODEL.parts
    for devices in (8, 16):
        _check(_full(part), part.split, devices)


@pytest.mark.parametrize("network", _JAVISDIT)
def test_javisdits_weights_split_over_8_and_16_devices(network):
    part = _JAVISDIT[network]
    for devices in (8, 16):
        _check(_full(part), part.split, devices)


def test_javisdits_rules_also_fit_its_networks_together():
    whole = networks(PUBLISHED)[1]
    mesh = AbstractMesh((8, 8), ("candidate", "model"))
    param_shardings(whole, mesh, MODEL.split)
    param_shardings(whole._replace(t5=()), mesh, MODEL.split)
    with pytest.raises(ValueError, match=r"no parameter matches.*t5/absent"):
        param_shardings(whole, mesh, (*MODEL.split, ("t5/absent", -1)))

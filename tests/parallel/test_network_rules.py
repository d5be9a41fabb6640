"""Every large network's sharding rules fit its full size and leave little copied."""

import importlib
import math

import jax
import pytest
from jax.sharding import AbstractMesh

from avits_jax.catalogue.verifiers import FAMILIES
from avits_jax.generators.javisdit import sharding as javisdit_rules
from avits_jax.generators.javisdit.networks import JavisDiTConfig, networks
from avits_jax.parallel.sharding import param_shardings

_CONFIGS = {
    "imagebind": "ImageBindConfig",
    "video_reward": "VideoRewardConfig",
    "vqa_score": "VQAScoreConfig",
    "clap": "ClapConfig",
    "desync": "SynchformerConfig",
}
# Parameters (not bytes) that every device may hold a copy of.
_MOST_COPIED = 5_000_000


def _judge(family):
    package = f"avits_jax.verifiers.{family}"
    config = getattr(importlib.import_module(f"{package}.config"), _CONFIGS[family])
    like = importlib.import_module(f"{package}.params").build(config())[1]
    return like, importlib.import_module(f"{package}.sharding").RULES


def _javisdit(network):
    like = getattr(networks(JavisDiTConfig())[1], network)
    return like, javisdit_rules.NETWORKS[network]


def _check(like, rules, devices):
    mesh = AbstractMesh((2, devices), ("candidate", "model"))
    shardings = param_shardings(like, mesh, rules)
    pairs = zip(jax.tree.leaves(like), jax.tree.leaves(shardings), strict=True)
    sizes = [(math.prod(x.shape), math.prod(s.shard_shape(x.shape))) for x, s in pairs]
    whole, part = (sum(column) for column in zip(*sizes, strict=True))
    copied = sum(size for size, own in sizes if size == own)
    assert copied <= _MOST_COPIED < whole
    assert part == copied + (whole - copied) // devices


def test_every_verifier_with_weights_has_rules():
    assert set(_CONFIGS) == {each.module for each in FAMILIES if each.checkpoint}


@pytest.mark.parametrize("family", _CONFIGS)
def test_a_verifiers_weights_split_over_8_and_16_devices(family):
    like, rules = _judge(family)
    for devices in (8, 16):
        _check(like, rules, devices)


@pytest.mark.parametrize("network", javisdit_rules.NETWORKS)
def test_javisdits_weights_split_over_8_and_16_devices(network):
    like, rules = _javisdit(network)
    for devices in (8, 16):
        _check(like, rules, devices)


def test_javisdits_rules_also_fit_its_networks_together():
    whole = networks(JavisDiTConfig())[1]
    mesh = AbstractMesh((8, 8), ("candidate", "model"))
    param_shardings(whole, mesh, javisdit_rules.RULES)
    param_shardings(whole._replace(t5=()), mesh, javisdit_rules.WITHOUT_T5)

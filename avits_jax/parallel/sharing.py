"""Weights that devices share: what of them is gathered, and when, in one search."""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp

from avits_jax.parallel.edge import Edge, constrain
from avits_jax.parallel.gathering import reads
from avits_jax.parallel.memory import (
    GatherChoice,
    Held,
    alike,
    choose_gathers,
    device_memory,
    held,
)
from avits_jax.types import Cond, Generator, Params, PyTree, Verifier


def prepare_prompt(params: Params, cond: Cond, generator: Generator) -> Cond:
    """Return the prompt as `generator` prepares it, on its parts of the weights."""
    if generator.prepare is None:
        return cond
    ready = generator.prepare(params.generator, cond.generator)
    return cond._replace(generator=ready)


def share_weights(
    params: Params,
    cond: Cond,
    layout: Params,
    gather: GatherChoice,
    edge: Edge,
    *,
    generator: Generator,
    verifiers: Sequence[Verifier],
    stays: bool,
) -> tuple[Params, Params]:
    """Gather what is gathered once, and say what is left to the scans over layers.

    Of the generator's weights only those that its steps read are gathered; the others
    follow where `init` and `decode` are entered.

    Args:
        params: the weights, in parts.
        cond: the prepared prompt.
        layout: their shardings.
        gather: see `parallel.search.shard_search`.
        edge: the devices.
        generator: the generator.
        verifiers: the verifiers.
        stays: see `choose_gathers`.

    Returns:
        The weights, and shardings of the networks gathered block by block, None for the
        others.
    """
    used = _of_steps(generator, params.generator, cond.generator)
    if gather == "auto":
        sizes = _sizes(params, layout, used, verifiers)
        when = choose_gathers(*sizes, device_memory(edge.mesh), stays=stays)
    else:
        when = alike(gather, len(verifiers))

    def whole(leaf: Any, use: bool) -> Any:
        return constrain(leaf, edge.whole) if use else leaf

    own = params.generator
    if when.generator == "once":
        own = jax.tree.map(whole, own, used)
    judges = tuple(
        constrain(tree, edge.whole) if how == "once" else tree
        for tree, how in zip(params.verifiers, when.verifiers, strict=True)
    )
    splits = tuple(
        split if how == "block" else None
        for split, how in zip(layout.verifiers, when.verifiers, strict=True)
    )
    mine = layout.generator if when.generator == "block" else None
    return Params(own, judges), Params(mine, splits)


def _sizes(
    params: Params, layout: Params, used: PyTree, verifiers: Sequence[Verifier]
) -> tuple[Held, list[Held]]:
    """Return the bytes of all weights; those that verifiers share count once."""
    stepped = held(_only(used, params.generator), _only(used, layout.generator))
    seen: set[Any] = set()
    judges = []
    for each, tree, split in zip(
        verifiers, params.verifiers, layout.verifiers, strict=True
    ):
        again = each.shared_pass is not None and each.shared_pass in seen
        judges.append(Held(0, 0) if again else held(tree, split))
        seen.add(each.shared_pass)
    mine = held(params.generator, layout.generator)
    return mine._replace(whole=stepped.whole), judges


def _of_steps(generator: Generator, params: PyTree, cond: PyTree) -> PyTree:
    """Return a tree like `params` that tells which weights a step reads."""
    keys = jax.eval_shape(lambda: jax.random.split(jax.random.key(0), 1))
    candidates = jax.eval_shape(generator.init, params, keys, cond)

    def step(params: PyTree, keys: Any, candidates: Any, i: Any, cond: Any) -> PyTree:
        return generator.step(params, keys, candidates, i, cond)

    first = jax.ShapeDtypeStruct((), jnp.int32)
    return reads(step, params, keys, candidates, first, cond)


def _only(used: PyTree, tree: PyTree) -> list[Any]:
    pairs = zip(jax.tree.leaves(used), jax.tree.leaves(tree), strict=True)
    return [leaf for use, leaf in pairs if use]

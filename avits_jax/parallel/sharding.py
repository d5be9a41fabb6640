"""Sharding rules: which dimension of which parameter is split over the model axis.

A generator or verifier states its own as data, in its field ``rules``::

    RULES = (
        (r"transformer/blocks/.*/kernel", -1),  # last dimension
        (r".*/embedding", 0),
    )

Patterns match the whole path of a parameter, entries joined by "/"; the first that
matches decides. What no rule names is replicated, as is everything under ``()``.
"""

import re
from collections.abc import Sequence

import jax
from jax.sharding import AbstractMesh, Mesh, NamedSharding, PartitionSpec

from avits_jax.parallel.mesh import MODEL
from avits_jax.types import Generator, Params, PyTree, Rules, Verifier


def param_paths(params: PyTree) -> PyTree:
    """Return a tree like `params` that holds each parameter's path."""

    # Networks of flax.nnx keep every array under the name "value".
    return jax.tree_util.tree_map_with_path(
        lambda path, leaf: _name(path).removesuffix("/value"), params
    )


def param_shardings(
    params: PyTree,
    mesh: Mesh | AbstractMesh,
    rules: Rules = (),
    *,
    keep: bool = False,
) -> PyTree:
    """Return a tree like `params` of shardings, as `rules` state them.

    Args:
        params: one network's weights, arrays or their shapes.
        mesh: see `make_mesh`.
        rules: pairs (pattern, dimension). Where `params` leaves a network out, ``()``
            in its place, patterns that begin with its path say nothing.
        keep: arrays that lie on the mesh already stay as they lie, whatever the rules.

    Raises:
        ValueError: a dimension does not exist or cannot be split evenly, or a rule
            matches no parameter.
    """
    size = mesh.shape[MODEL]
    matched: set[str] = set()

    def choose(path: str, leaf) -> NamedSharding:
        rule = next((each for each in rules if re.fullmatch(each[0], path)), None)
        if rule is not None:
            matched.add(rule[0])
        if keep and _lies_on(leaf, mesh):
            return leaf.sharding
        if rule is None:
            return NamedSharding(mesh, PartitionSpec())
        return NamedSharding(mesh, _spec(path, leaf.shape, rule[1], size))

    shardings = jax.tree.map(choose, param_paths(params), params)
    silent = _left_out(params)
    unused = [
        pattern
        for pattern, _ in rules
        if pattern not in matched and not pattern.startswith(silent)
    ]
    if unused:
        raise ValueError(f"no parameter matches the sharding rules {unused}")
    return shardings


def search_shardings(
    params: Params,
    mesh: Mesh | AbstractMesh,
    rules: Params | None = None,
    *,
    generator: Generator | None = None,
    verifiers: Sequence[Verifier] = (),
) -> Params:
    """Return the shardings of all weights of a search.

    Args:
        params: weights of the generator and of each verifier.
        mesh: see `make_mesh`.
        rules: `Params` of rules, those of the generator and of each verifier in order:
            they alone decide. None: weights that lie on the mesh already stay as they
            lie. The others follow the rules of `generator` and `verifiers` where the
            model axis is more than one device, and are copied to every device else.
        generator: the generator; None: nothing has rules.
        verifiers: the verifiers, in the order of their weights.

    Raises:
        ValueError: a rule does not fit, see `param_shardings`, or there is not one
            tuple of rules per verifier.
    """
    keep = rules is None
    if rules is None:
        rules = Params((), ((),) * len(params.verifiers))
        if generator is not None and mesh.shape[MODEL] > 1:
            own = tuple(each.rules or () for each in verifiers)
            rules = Params(generator.rules or (), own)
    if len(rules.verifiers) != len(params.verifiers):
        raise ValueError(
            "verifiers and rules.verifiers must hold one entry per verifier's weights "
            f"({len(params.verifiers)}), got {len(rules.verifiers)}"
        )
    return Params(
        param_shardings(params.generator, mesh, rules.generator, keep=keep),
        tuple(
            param_shardings(tree, mesh, those, keep=keep)
            for tree, those in zip(params.verifiers, rules.verifiers, strict=True)
        ),
    )


def _name(path: tuple) -> str:
    return jax.tree_util.keystr(path, simple=True, separator="/")


def _lies_on(leaf: object, mesh: Mesh | AbstractMesh) -> bool:
    sharding = getattr(leaf, "sharding", None)
    return isinstance(sharding, NamedSharding) and sharding.mesh == mesh


def _left_out(params: PyTree) -> tuple[str, ...]:
    """Return how paths into the nodes of `params` that hold nothing would begin."""

    def holds_nothing(node: object) -> bool:
        return not jax.tree.leaves(node)

    nodes = jax.tree_util.tree_leaves_with_path(params, is_leaf=holds_nothing)
    return tuple(f"{_name(path)}/" for path, node in nodes if holds_nothing(node))


def _spec(
    path: str, shape: tuple[int, ...], dimension: int, size: int
) -> PartitionSpec:
    if not -len(shape) <= dimension < len(shape):
        raise ValueError(
            f"the sharding rule of {path} names dimension {dimension}, but its shape "
            f"is {shape}"
        )
    if shape[dimension] % size:
        raise ValueError(
            f"the model axis ({size} devices) must divide dimension {dimension} of "
            f"{path}, shape {shape}"
        )
    axes: list[str | None] = [None] * len(shape)
    axes[dimension] = MODEL
    return PartitionSpec(*axes)

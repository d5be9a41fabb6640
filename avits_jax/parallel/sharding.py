"""Sharding rules: which dimension of which parameter is split over the model axis.

A network folder states its rules as data in its ``sharding.py``::

    RULES = (
        (r"transformer/blocks/.*/kernel", -1),  # last dimension
        (r".*/embedding", 0),
    )

Patterns match the whole path of a parameter, entries joined by "/"; the first that
matches decides. What no rule names is replicated, as is everything under ``()``.
"""

import re
from collections.abc import Mapping

import jax
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from avits_jax.parallel.mesh import MODEL
from avits_jax.types import Params, PyTree

Rules = tuple[tuple[str, int], ...]


def param_paths(params: PyTree) -> PyTree:
    """Return a tree like `params` that holds each parameter's path."""

    def name(path: tuple, leaf: object) -> str:
        text = jax.tree_util.keystr(path, simple=True, separator="/")
        # Networks of flax.nnx keep every array under this name.
        return text.removesuffix("/value")

    return jax.tree_util.tree_map_with_path(name, params)


def param_shardings(params: PyTree, mesh: Mesh, rules: Rules = ()) -> PyTree:
    """Return a tree like `params` of shardings, as `rules` state them.

    Rules of a part that is left out, ``()`` in its place, do not count.

    Args:
        params: one network's weights, arrays or their shapes.
        mesh: see `make_mesh`.
        rules: pairs (pattern, dimension).

    Raises:
        ValueError: a dimension does not exist or cannot be split evenly, or a rule
            matches no parameter.
    """
    size = mesh.shape[MODEL]
    matched: set[str] = set()

    def choose(path: str, leaf) -> NamedSharding:
        for pattern, dimension in rules:
            if re.fullmatch(pattern, path):
                matched.add(pattern)
                return NamedSharding(mesh, _spec(path, leaf.shape, dimension, size))
        return NamedSharding(mesh, PartitionSpec())

    shardings = jax.tree.map(choose, param_paths(params), params)
    left_out = _left_out(params)
    unused = [
        pattern
        for pattern, _ in rules
        if pattern not in matched and pattern.partition("/")[0] not in left_out
    ]
    if unused:
        raise ValueError(f"no parameter matches the sharding rules {unused}")
    return shardings


def _left_out(params: PyTree) -> set[str]:
    """Return the names at the top of a tree under which there is nothing."""
    if hasattr(params, "_asdict"):
        params = params._asdict()
    if not isinstance(params, Mapping):
        return set()
    return {str(name) for name, tree in params.items() if not jax.tree.leaves(tree)}


def search_shardings(params: Params, mesh: Mesh, rules: Params | None = None) -> Params:
    """Return the shardings of all weights of a search.

    Args:
        params: weights of the generator and of each verifier.
        mesh: see `make_mesh`.
        rules: `Params` of rules, those of the generator and of each verifier in order;
            None replicates everything.

    Raises:
        ValueError: a rule does not fit, see `param_shardings`, or there is not one
            tuple of rules per verifier.
    """
    if rules is None:
        rules = Params((), ((),) * len(params.verifiers))
    if len(rules.verifiers) != len(params.verifiers):
        raise ValueError(
            f"rules.verifiers must hold one entry per verifier "
            f"({len(params.verifiers)}), got {len(rules.verifiers)}"
        )
    return Params(
        param_shardings(params.generator, mesh, rules.generator),
        tuple(
            param_shardings(tree, mesh, those)
            for tree, those in zip(params.verifiers, rules.verifiers, strict=True)
        ),
    )


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

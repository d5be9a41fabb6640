"""Move arrays onto a mesh, and results back to the host."""

from collections.abc import Sequence
from typing import Any

import jax
import numpy as np
from jax.experimental import multihost_utils
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from avits_jax.parallel.sharding import search_shardings
from avits_jax.types import Generator, Params, PyTree, Verifier


def place(tree: PyTree, shardings: PyTree) -> PyTree:
    """Return `tree` on the devices of its shardings.

    Every host passes the same values and keeps its own devices' part. What already lies
    there is not moved; shapes (`jax.ShapeDtypeStruct`) get the sharding alone. An array
    that the tree holds several times is one array again.

    Args:
        tree: tree of arrays (typed keys included), numbers or shapes.
        shardings: one sharding for all, or a tree of shardings like `tree`.

    Returns:
        A tree like `tree`.
    """
    if isinstance(shardings, jax.sharding.Sharding):
        sharding = shardings
        shardings = jax.tree.map(lambda _: sharding, tree)
    placed: dict[Any, Any] = {}

    def once(leaf: Any, sharding: jax.sharding.Sharding) -> Any:
        key = id(leaf), sharding
        if key not in placed:
            placed[key] = _put(leaf, sharding)
        return placed[key]

    return jax.tree.map(once, tree, shardings)


def place_params(
    params: Params,
    mesh: Mesh,
    rules: Params | None = None,
    *,
    generator: Generator | None = None,
    verifiers: Sequence[Verifier] = (),
) -> Params:
    """Return the weights of a search on a mesh.

    Verifiers that are given the same tree of weights have the same tree again.

    Args:
        params: weights, or their shapes.
        mesh: see `make_mesh`.
        rules: see `search_shardings`, as for the other arguments and what it raises.
        generator: the generator.
        verifiers: the verifiers.
    """
    params = Params(params[0], tuple(params[1]))
    shardings = search_shardings(
        params, mesh, rules, generator=generator, verifiers=verifiers
    )
    placed = place(params, shardings)
    trees: dict[Any, PyTree] = {}
    groups = zip(params.verifiers, shardings.verifiers, placed.verifiers, strict=True)
    own = [
        trees.setdefault((id(tree), *jax.tree.leaves(split)), new)
        for tree, split, new in groups
    ]
    return placed._replace(verifiers=tuple(own))


def replicate(tree: PyTree, mesh: Mesh) -> PyTree:
    """Return `tree` with a copy on every device of a mesh, see `place`."""
    return place(tree, NamedSharding(mesh, PartitionSpec()))


def to_host(tree: PyTree) -> PyTree:
    """Return a tree of NumPy arrays, whole on every host.

    On several hosts this gathers what is spread over them, so all must call it, and
    for the same arrays.
    """

    def fetch(leaf):
        if isinstance(leaf, jax.Array) and not leaf.is_fully_addressable:
            if leaf.is_fully_replicated:
                return np.asarray(leaf.addressable_data(0))
            return multihost_utils.process_allgather(leaf, tiled=True)
        return jax.device_get(leaf)

    return jax.tree.map(fetch, tree)


def _put(leaf, sharding: jax.sharding.Sharding):
    if isinstance(leaf, jax.ShapeDtypeStruct):
        return jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=sharding)
    if isinstance(leaf, jax.Array):
        if leaf.sharding.is_equivalent_to(sharding, leaf.ndim):
            return leaf
        if jax.dtypes.issubdtype(leaf.dtype, jax.dtypes.prng_key):
            impl = jax.random.key_impl(leaf)
            data = _put(jax.random.key_data(leaf), sharding)
            return jax.random.wrap_key_data(data, impl=impl)
    if sharding.is_fully_addressable:
        return jax.device_put(leaf, sharding)
    whole = np.asarray(leaf)
    return jax.make_array_from_callback(
        whole.shape, sharding, lambda index: whole[index]
    )

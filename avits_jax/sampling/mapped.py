"""Carries of loops inside `jax.shard_map`."""

from collections.abc import Sequence
from typing import Any

import jax

from avits_jax.types import PyTree


def vary_alike(carry: PyTree, others: Sequence[PyTree] = ()) -> PyTree:
    """Return ``carry`` with all leaves varying over the same mapped axes.

    Inside `jax.shard_map` a loop's carry must vary over as many axes before its body as
    after it; constants and replicated arrays vary over none. Elsewhere nothing changes.

    Args:
        carry: tree of arrays or numbers, the first carry of a loop.
        others: what else the body reads.
    """

    def axes(leaf: Any) -> frozenset:
        return jax.typeof(leaf).manual_axis_type.varying

    every = frozenset[object]().union(*map(axes, jax.tree.leaves((carry, others))))

    def widen(leaf: Any) -> Any:
        missing = tuple(sorted(every - axes(leaf), key=str))
        return jax.lax.pcast(leaf, missing, to="varying") if missing else leaf

    return jax.tree.map(widen, carry)

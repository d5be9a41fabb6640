"""State dicts of full size, by shapes alone."""

from collections.abc import Iterable, Mapping
from typing import Any

from avits_jax.types import PyTree
from avits_jax.weights import name_map as weights
from tools.parity.checks import Expect


def check_manifest(
    entries: Mapping[str, Any],
    like: PyTree,
    rules: Iterable[weights.Rule],
    ignore: Mapping[str, str] | None = None,
) -> dict[str, Expect]:
    """Every key is consumed once or ignored on purpose, every parameter filled.

    Args:
        entries: key -> [shape, dtype].
        like: abstract parameters of full size.
        rules: name map.
        ignore: pattern of keys left out -> why.

    Raises:
        avits_jax.weights.name_map.WeightsError: lists every key that does not fit.
    """
    plan = weights.make_plan(weights.shapes_of(entries), like, rules, ignore)
    read = {
        key
        for leaf in plan.leaves.values()
        for piece in leaf.pieces
        for key in piece.keys
    }
    return {"keys": Expect(len(read | set(plan.ignored)), len(entries), 0.0)}

"""Networks by shapes alone."""

from collections.abc import Callable
from typing import Any

import jax
from flax import nnx

from avits_jax.types import PyTree


class OneKey(nnx.Rngs):
    """Random streams of a network whose numbers nobody sees: one key for all.

    While a network is traced, the counters of `nnx.Rngs` cost time that grows with the
    square of the number of its weights.
    """

    def __init__(self) -> None:
        """Have one key and no streams, hence no counters."""
        self.key = jax.random.key(0)

    def params(self) -> Any:
        """Return the only key."""
        return self.key


def abstract(make: Callable[[nnx.Rngs], nnx.Module]) -> tuple[nnx.GraphDef, PyTree]:
    """Build a network without memory for its weights.

    Args:
        make: builds the network from its random streams, of which it uses ``params``.

    Returns:
        Its static graph, and its parameters as nested dicts of `jax.ShapeDtypeStruct`;
        ``nnx.merge(graph, params)`` of a tree like that is the network.
    """
    graph, state = abstract_state(make)
    return graph, nnx.to_pure_dict(state)


def abstract_state(
    make: Callable[[nnx.Rngs], nnx.Module],
) -> tuple[nnx.GraphDef, nnx.State]:
    """Build a network as `abstract` does, its parameters as Flax keeps them.

    Args:
        make: builds the network from its random streams, of which it uses ``params``.

    Returns:
        Its static graph, and its state, with shapes for arrays.
    """
    return nnx.split(nnx.eval_shape(lambda: make(OneKey())))

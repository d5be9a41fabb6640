"""Networks by shapes alone."""

from collections.abc import Callable

from flax import nnx

from avits_jax.types import PyTree


def abstract(make: Callable[[nnx.Rngs], nnx.Module]) -> tuple[nnx.GraphDef, PyTree]:
    """Build a network without memory for its weights.

    Args:
        make: builds the network from its random streams.

    Returns:
        Its static graph, and its parameters as nested dicts of `jax.ShapeDtypeStruct`;
        ``nnx.merge(graph, params)`` of a tree like that is the network.
    """
    graph, state = nnx.split(nnx.eval_shape(lambda: make(nnx.Rngs(0))))
    return graph, nnx.to_pure_dict(state)

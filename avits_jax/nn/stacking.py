"""Repeated layers as one layer whose weights have a leading axis, run by a scan."""

from collections.abc import Callable
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
from flax import nnx

from avits_jax.nn.abstract import OneKey
from avits_jax.types import PyTree

Layer = TypeVar("Layer", bound=nnx.Module)


def stack_layers(
    make: Callable[[nnx.Rngs], Layer], depth: int, rngs: nnx.Rngs
) -> Layer:
    """Make ``depth`` layers of one kind, every weight stacked along a leading axis.

    Args:
        make: builds one layer from its random streams.
        depth: number of layers, at least 1.
        rngs: its ``params`` stream seeds the layers.

    Raises:
        ValueError: if ``depth`` is below 1.
    """
    if depth < 1:
        raise ValueError(f"depth must be at least 1, got {depth}")

    @nnx.vmap
    def build(keys):
        return make(rngs if isinstance(rngs, OneKey) else nnx.Rngs(keys))

    return build(jax.random.split(rngs.params(), depth))


def scan_layers(
    layers: nnx.Module, x: Any, call: Callable[[Any, Any], Any] | None = None
) -> Any:
    """Send ``x`` through stacked layers, one after the other.

    Args:
        layers: what `stack_layers` made.
        x: input of the first layer; each layer's output has its shapes and dtypes.
        call: ``(layer, x) -> x``; by default ``layer(x)``.

    Returns:
        The last layer's output.
    """
    graph, weights = nnx.split(layers)

    def body(x, one):
        layer = nnx.merge(graph, one)
        return (layer(x) if call is None else call(layer, x)), None

    return jax.lax.scan(body, x, weights)[0]


def run_or_repeat(
    blocks: Callable[[PyTree], PyTree], streams: PyTree, added: PyTree | None
) -> tuple[PyTree, PyTree]:
    """Send streams through blocks, or add to them what blocks added before.

    Args:
        blocks: ``streams -> streams``, of the same shapes and dtypes.
        streams: tree of arrays.
        added: output minus input of an earlier run, like ``streams``; None to run.

    Returns:
        The streams behind the blocks, and what was added to them.
    """
    if added is not None:
        return jax.tree.map(jnp.add, streams, added), added
    after = blocks(streams)
    return after, jax.tree.map(jnp.subtract, after, streams)

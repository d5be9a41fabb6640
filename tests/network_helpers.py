"""Networks with random weights, made without compiling their initialisers."""

import jax
import numpy as np
from flax import nnx

from avits_jax.nn.abstract import abstract
from avits_jax.weights.model import read_configs, read_parts


def random_network(make, seed: int = 0):
    """Graph and parameters of a network, all values random and none of them zero.

    Args:
        make: ``rngs -> nnx.Module``.
        seed: of the values.
    """
    graph, like = abstract(make)
    return graph, random_params(like, seed)


def random_params(like, seed: int = 0):
    """Values for a tree of shapes, of a size that keeps activations near 1."""
    rng = np.random.default_rng(seed)

    def draw(leaf):
        scale = 1.0 if len(leaf.shape) < 2 else leaf.shape[-2] ** -0.5
        return (scale * rng.normal(size=leaf.shape)).astype(leaf.dtype)

    return jax.tree.map(draw, like)


def with_dtype(like, dtype):
    """The same tree of shapes in another dtype."""
    return jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, dtype), like)


def jitted(graph, call):
    """``call(model, *arguments)`` as a compiled function ``(params, *arguments)``."""
    return jax.jit(lambda params, *args: call(nnx.merge(graph, params), *args))


def read_only(model, weights):
    """The sizes and weights of a model's only network."""
    configs = read_configs(model, weights)
    return configs[""], read_parts(model, weights, configs)

"""Networks with a golden's weights, and quick compilation for tiny arrays."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from avits_jax.nn.abstract import abstract
from avits_jax.weights import name_map as weights
from tools.parity.golden import Golden

# Goldens are tiny and run once: compilation is all that takes time.
QUICK = {
    "xla_backend_optimization_level": 0,
    "xla_llvm_disable_expensive_passes": True,
}


def channels_last(array: np.ndarray) -> jnp.ndarray:
    """``[B, C, ...]`` to ``[B, ..., C]``."""
    return jnp.moveaxis(jnp.asarray(array), 1, -1)


def channels_first(array) -> np.ndarray:
    """``[B, ..., C]`` to ``[B, C, ...]``."""
    return np.moveaxis(np.asarray(array), -1, 1)


def load_module(
    golden: Golden,
    make: Callable[[nnx.Rngs], nnx.Module],
    rules: Iterable[weights.Rule],
    ignore: Mapping[str, str] | None = None,
) -> Any:
    """The network that ``make`` builds, with the golden's weights."""
    graph, like = abstract(make)
    return nnx.merge(graph, weights.load(golden.weights, like, rules, ignore))


def run_compiled(function: Callable[..., Any], model: nnx.Module, *arrays: Any) -> Any:
    """``function(model, *arrays)`` as one program, compiled with few optimisations."""
    graph, params = nnx.split(model)

    def program(params, *arrays):
        return function(nnx.merge(graph, params), *arrays)

    return jax.jit(program, compiler_options=QUICK)(params, *arrays)

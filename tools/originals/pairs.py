"""Our network and its original with the same weights, ready to run in turn."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

import jax
import numpy as np
from flax import nnx

from avits_jax.runs.devices import Compiled
from avits_jax.types import PyTree
from avits_jax.weights import name_map

_SPREAD = 0.02
_SEED = 0


class Pair(NamedTuple):
    """Two forward passes of one network.

    Attributes:
        ours: runs the compiled program.
        original: runs torch.
        comparable: what ours returns -> arrays of what the original returns.
    """

    ours: Callable[[], Any]
    original: Callable[[], Any]
    comparable: Callable[[Any], Any]


class Net(NamedTuple):
    """Our network, and where its original's weights go.

    Attributes:
        graph, like: what `abstract` returns.
        rules: of the weights' names.
        ignored: keys of the original that have no counterpart.
        translate: the original's state dict -> one with the names of the rules.
    """

    graph: Any
    like: PyTree
    rules: Sequence[name_map.Rule]
    ignored: Mapping[str, str] | None = None
    translate: Callable[[dict[str, Any]], dict[str, Any]] = dict


def settle(torch: Any, module: Any) -> Any:
    """Make a module ready to infer, its constant weights drawn anew.

    Originals begin with zeros where they want to be the identity; then whole branches
    would not show in the comparison.
    """
    generator = torch.Generator().manual_seed(_SEED)
    for weight in module.eval().requires_grad_(False).parameters():
        if weight.is_floating_point() and not (weight != weight.flatten()[:1]).any():
            weight += _SPREAD * torch.randn(weight.shape, generator=generator)
    return module


def with_weights(net: Net, module: Any) -> PyTree:
    """Weights of a torch module in our network's tree."""
    state = {key: value.numpy() for key, value in module.state_dict().items()}
    loaded = name_map.load(net.translate(state), net.like, net.rules, net.ignored)
    return jax.tree.map(jax.numpy.asarray, loaded)


def program(
    net: Net, module: Any, function: Callable[..., Any], *arrays: Any
) -> Callable[[], Any]:
    """``function(model, *arrays)`` compiled, with the weights of a torch module.

    Compiled as the library's own runs are.
    """

    def run(params: PyTree, *arrays: Any) -> Any:
        return function(nnx.merge(net.graph, params), *arrays)

    params = with_weights(net, module)
    placed = jax.tree.map(jax.numpy.asarray, arrays)
    return partial(Compiled(run).program(params, *placed), params, *placed)


def torch_program(torch: Any, function: Callable[..., Any], *arrays: Any) -> Any:
    """``function(*arrays)`` without gradients, arrays as torch's tensors."""
    tensors = [torch.from_numpy(np.ascontiguousarray(each)) for each in arrays]

    def run() -> Any:
        with torch.inference_mode():
            return function(*tensors)

    return run


def draw(*shape: int, seed: int = _SEED) -> np.ndarray:
    """Normal float32 numbers."""
    return np.random.default_rng(seed).standard_normal(shape, np.float32)


def draw_ids(end: int, *shape: int) -> np.ndarray:
    """Token ids from 3 on: no padding, no start, no end."""
    return np.random.default_rng(_SEED).integers(3, end, shape, np.int32)


def last_axis_first(x: Any) -> np.ndarray:
    """``[B, ..., C]`` to ``[B, C, ...]``."""
    return np.moveaxis(np.asarray(x), -1, 1)


def first_axis_last(x: Any) -> np.ndarray:
    """``[B, C, ...]`` to ``[B, ..., C]``."""
    return np.moveaxis(np.asarray(x), 1, -1)


def difference(pair: Pair) -> float:
    """Largest difference of both results, over the original's root mean square.

    Raises:
        ValueError: the results have different shapes or numbers.
    """
    ours = jax.tree.leaves(pair.comparable(pair.ours()))
    theirs = jax.tree.leaves(pair.original())
    shapes = [[tuple(x.shape) for x in found] for found in (ours, theirs)]
    if shapes[0] != shapes[1]:
        raise ValueError(f"results are {shapes[0]}; the original's are {shapes[1]}")
    worst = 0.0
    for mine, other in zip(ours, map(np.asarray, theirs), strict=True):
        scale = max(float(np.sqrt(np.mean(np.square(other)))), 1e-30)
        worst = max(worst, float(np.max(np.abs(mine - other))) / scale)
    return worst

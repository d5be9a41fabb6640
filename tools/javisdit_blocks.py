"""JavisDiT taken apart for timing: one block of each kind."""

import math
from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx

from avits_jax.generators.javisdit.config import Networks
from avits_jax.generators.javisdit.generator import by_row
from avits_jax.generators.javisdit.modeling import Level, couple_rows
from avits_jax.generators.javisdit.networks import networks
from avits_jax.generators.javisdit.parts import PUBLISHED
from avits_jax.generators.javisdit.tiny import TINY
from avits_jax.types import Candidates, PyTree

MODULE = "avits_jax.generators.javisdit.load"
_SELF_BLOCKS = ("video_spatial", "video_temporal", "audio_spatial", "audio_temporal")


def sizes(*, reduced: bool) -> Networks:
    """The networks' sizes, published or reduced."""
    return TINY if reduced else PUBLISHED


def block_programs(
    params: Networks, cond: PyTree, start: Candidates, *, reduced: bool
) -> Iterator[tuple[str, Callable[..., Any], tuple[Any, ...]]]:
    """Name, function and arguments of one block of each kind, on guided rows.

    A guided step runs each of them once in every level.

    Args:
        params: weights of the networks.
        cond: a prepared prompt.
        start: candidates at the first noise level.
        reduced: sizes of the networks are those of the reduced form.
    """
    config = sizes(reduced=reduced)
    graphs, _ = networks(config)
    model = nnx.merge(graphs.transformer, params.transformer)
    graph, weights = nnx.split(model.levels)
    first = jax.tree.map(lambda leaf: leaf[0], weights)
    streams = {
        name: jnp.ones(shape, model.dtype)
        for name, shape in _stream_shapes(config, start).items()
    }
    rows = len(streams["video"])
    shared = model.modulations(model.condition(jnp.ones(rows), jnp.ones(rows)))
    rotary = model.rotary[...]

    def block(name: str) -> Callable[..., Any]:
        def run(weights, *arguments):
            level: Level = nnx.merge(graph, weights)
            return getattr(level, name)(*arguments)

        return run

    for name in _SELF_BLOCKS:
        stream = streams[name.partition("_")[0]]
        text = jax.tree.map(lambda leaf: leaf[0], cond.text[name])
        arguments = (first, stream, shared[0], rotary, text, cond.text_mask)
        yield name, block(name), arguments
    priors = couple_rows(by_row(start.extra), "candidate")
    for name in ("video", "audio"):
        kind, own = f"{name}_prior", jax.tree.map(lambda leaf: leaf[0], priors[name])
        yield kind, block(kind), (first, streams[name], shared[1], *own)
    yield "exchange", block("exchange"), (first, streams["video"], streams["audio"])


def _stream_shapes(config: Networks, start: Candidates) -> dict[str, tuple[int, ...]]:
    """Return the shapes of both streams on a pair of rows a candidate."""
    transformer = config.transformer
    shapes: dict[str, tuple[int, ...]] = {}
    patches = {"video": transformer.video_patch, "audio": transformer.audio_patch}
    for name, patch in patches.items():
        rows, *sides, _ = getattr(start.latents, name).shape
        steps, *within = (-(-n // p) for n, p in zip(sides, patch, strict=True))
        shapes[name] = (2 * rows, steps, math.prod(within), transformer.width)
    return shapes

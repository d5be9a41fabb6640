"""Mini's networks as one record: they are trained, shipped and read together."""

from collections.abc import Callable
from functools import cache
from typing import Any

import jax
import jax.numpy as jnp

from avits_jax.generators.mini.config import MiniConfig
from avits_jax.generators.mini.modeling import (
    AudioAutoencoder,
    MiniTransformer,
    VideoAutoencoder,
)
from avits_jax.generators.mini.sharding import RULES
from avits_jax.nn.abstract import abstract_state
from avits_jax.types import PyTree
from avits_jax.weights.model import Model, Part

_BUILDS = {
    "video_autoencoder": VideoAutoencoder,
    "audio_autoencoder": AudioAutoencoder,
    "transformer": MiniTransformer,
}


@cache
def build(config: MiniConfig) -> tuple[dict[str, Any], PyTree]:
    """Return each network's static graph, and the shapes of all weights.

    Beside the networks' weights there are statistics of their latents, ``stats``.
    """

    def shapes(make: Callable[..., Any]) -> tuple[Any, PyTree]:
        return abstract_state(lambda rngs: make(config, rngs=rngs))

    made = {name: shapes(make) for name, make in _BUILDS.items()}
    graphs = {name: graph for name, (graph, _) in made.items()}
    sizes = {"video": config.video_latent, "audio": config.audio_latent}
    statistics = {
        f"{name}_{part}": jax.ShapeDtypeStruct((size,), jnp.float32)
        for name, size in sizes.items()
        for part in ("mean", "std")
    }
    states = {name: state for name, (_, state) in made.items()}
    return graphs, {**states, "stats": statistics}


MODEL = Model(
    "mini",
    (
        Part(
            "",
            MiniConfig(),
            build,
            split=RULES,
            float32=(*_BUILDS, "stats"),  # in any dtype: it is small
        ),
    ),
)

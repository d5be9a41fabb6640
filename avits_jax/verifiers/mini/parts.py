"""Mini's verifiers as records, one model each."""

from collections.abc import Callable
from functools import cache, partial
from typing import Any

from flax import nnx

from avits_jax.types import PyTree
from avits_jax.verifiers.mini.modeling import (
    AudioTower,
    Synchrony,
    TextMatcher,
    VideoTower,
)
from avits_jax.verifiers.mini.sharding import RULES
from avits_jax.weights.model import Model, Part

BUILDS: dict[str, Callable[..., Any]] = {
    "mini_tv": partial(TextMatcher, VideoTower),
    "mini_ta": partial(TextMatcher, AudioTower),
    "mini_av": Synchrony,
}


@cache
def build(name: str) -> tuple[Any, PyTree]:
    """Return a network's static graph and the shapes of its weights."""
    return nnx.split(nnx.eval_shape(lambda: BUILDS[name](rngs=nnx.Rngs(0))))


def _model(name: str) -> Model:
    return Model(name, (Part("", None, lambda config: build(name), split=RULES[name]),))


MODELS = {name: _model(name) for name in BUILDS}

"""Mini's verifiers as records, one model each."""

from collections.abc import Callable
from functools import cache, partial
from typing import Any

from avits_jax.nn.abstract import abstract_state
from avits_jax.types import PyTree
from avits_jax.verifiers.mini.modeling import (
    AudioEncoder,
    Synchrony,
    TextMatcher,
    VideoEncoder,
)
from avits_jax.verifiers.mini.sharding import RULES
from avits_jax.weights.model import Model, Part

BUILDS: dict[str, Callable[..., Any]] = {
    "mini_tv": partial(TextMatcher, VideoEncoder),
    "mini_ta": partial(TextMatcher, AudioEncoder),
    "mini_av": Synchrony,
}


@cache
def build(name: str) -> tuple[Any, PyTree]:
    """Return a network's static graph and the shapes of its weights."""
    return abstract_state(lambda rngs: BUILDS[name](rngs=rngs))


def _model(name: str) -> Model:
    return Model(name, (Part("", None, lambda config: build(name), split=RULES[name]),))


MODELS = {name: _model(name) for name in BUILDS}

"""Mini's verifiers as records, one model each."""

from collections.abc import Callable
from functools import cache, partial
from typing import Any

from avits_jax.nn.abstract import abstract_state
from avits_jax.types import PyTree
from avits_jax.verifiers.mini.config import JUDGE, MiniVerifierConfig
from avits_jax.verifiers.mini.modeling import (
    AudioEncoder,
    ClipReader,
    TextMatcher,
    VideoEncoder,
)
from avits_jax.verifiers.mini.sharding import RULES
from avits_jax.weights.model import Model, Part

_NETWORKS: dict[str, Callable[..., Any]] = {
    "mini_tv": partial(TextMatcher, VideoEncoder),
    "mini_ta": partial(TextMatcher, AudioEncoder),
    "mini_av": ClipReader,
    "mini_quality": ClipReader,
}
GUIDES = tuple(_NETWORKS)
JUDGES = tuple(f"{name}_judge" for name in GUIDES)


def network_of(name: str) -> Callable[..., Any]:
    """Return the class of a verifier's network, ``(config, *, rngs)``."""
    return _NETWORKS[name.removesuffix("_judge")]


@cache
def build(name: str, config: MiniVerifierConfig) -> tuple[Any, PyTree]:
    """Return a network's static graph and the shapes of its weights."""
    return abstract_state(lambda rngs: network_of(name)(config, rngs=rngs))


def _model(name: str, config: MiniVerifierConfig) -> Model:
    rules = RULES[name.removesuffix("_judge")]
    return Model(name, (Part("", config, partial(build, name), split=rules),))


MODELS = {
    **{name: _model(name, MiniVerifierConfig()) for name in GUIDES},
    **{name: _model(name, JUDGE) for name in JUDGES},
}

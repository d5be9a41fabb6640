"""Mini's three verifiers: text-video, text-audio and audio-video synchrony.

Each gives the logarithm of a probability, at most 0.
"""

from collections.abc import Callable
from typing import Any

import jax
from flax import nnx
from jaxtyping import Array, Float, Int

from avits_jax.mini_world.grammar import tokenize
from avits_jax.types import Media, PyTree, Verifier
from avits_jax.verifiers.mini.modeling import log_mel
from avits_jax.verifiers.mini.parts import build
from avits_jax.verifiers.mini.sharding import RULES


def mini_tv() -> Verifier:
    """Return the verifier of text and video: do the frames show what the words say?

    Sees colour, shape and number of bounces. Clips: 16 frames of 32x32 at 8 fps.
    """
    return _matcher("mini_tv", lambda media: media.video)


def mini_ta() -> Verifier:
    """Return the verifier of text and audio: is the sound what the words say?

    Hears the material and the number of strikes. Clips: 2 s at 16 kHz, mono.
    """
    return _matcher("mini_ta", lambda media: log_mel(media.audio))


def mini_av() -> Verifier:
    """Return the verifier of synchrony: do sound and picture fit in time?"""
    network = _network("mini_av")

    def score(params: PyTree, media: Media, cond: PyTree) -> Float[Array, " N"]:
        logit = network(params)(media.video, log_mel(media.audio))
        return jax.nn.log_sigmoid(logit)

    return Verifier("mini_av", score, lambda prompt: (), rules=RULES["mini_av"])


def _matcher(name: str, view) -> Verifier:
    network = _network(name)

    def score(
        params: PyTree, media: Media, cond: Int[Array, " L"]
    ) -> Float[Array, " N"]:
        model = network(params)
        cosine = model.embed_media(view(media)) @ model.embed_text(cond[None])[0]
        return jax.nn.log_sigmoid(model.logit(cosine))

    return Verifier(name, score, tokenize, rules=RULES[name])


def _network(name: str) -> Callable[[PyTree], Any]:
    """Return a function from the weights to the network."""
    graph, _ = build(name)
    return lambda params: nnx.merge(graph, params)


MAKERS = {"mini_tv": mini_tv, "mini_ta": mini_ta, "mini_av": mini_av}

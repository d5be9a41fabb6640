"""Mini's verifiers, on the scales that real ones have, and the judges beside them.

=============== ============================================= ===================
name            question                                      scale
=============== ============================================= ===================
mini_tv         do the frames show what the words say?        cosine, -1 to 1
mini_ta         is the sound what the words say?              log-odds (logit)
mini_av         do picture and sound fit in time?             log-probability
mini_quality    how good do picture and sound seem?           opinion, 1 to 5
=============== ============================================= ===================

The last one needs no prompt and can be hacked: its raters like clean clips, and calm
ones. Each has a judge, ``NAME_judge``: a network of another size, trained on other
clips from another seed, to measure by what was not searched for.

All see clips of 16 frames of 32x32 at 8 fps with 2 s of mono sound at 16 kHz.
"""

from collections.abc import Callable
from typing import Any

import jax
from flax import nnx
from jaxtyping import Array, Float, Int

from avits_jax.mini_world.grammar import tokenize
from avits_jax.types import Media, PyTree, Verifier
from avits_jax.verifiers.mini.config import MiniVerifierConfig
from avits_jax.verifiers.mini.modeling import log_mel
from avits_jax.verifiers.mini.parts import MODELS, build


def make(name: str, config: MiniVerifierConfig) -> Verifier:
    """Make one of mini's verifiers.

    Args:
        name: "mini_tv", "mini_ta", "mini_av", "mini_quality", or one of their judges.
        config: sizes of its network.
    """
    kind = name.removesuffix("_judge")
    graph, _ = build(name, config)
    split = MODELS[name].split

    def network(params: PyTree) -> Any:
        return nnx.merge(graph, params)

    if kind in _VIEWS:
        score = _matching(network, *_VIEWS[kind])
        return Verifier(name, score, tokenize, rules=split)
    score = _reading(network, _READINGS[kind])
    return Verifier(name, score, lambda prompt: (), rules=split)


def _matching(network: Callable, view: Callable, scale: Callable) -> Callable:
    """Return the score of a clip's match with the words."""

    def score(
        params: PyTree, media: Media, cond: Int[Array, " L"]
    ) -> Float[Array, " N"]:
        model = network(params)
        cosine = model.embed_media(view(media)) @ model.embed_text(cond[None])[0]
        return scale(model, cosine)

    return score


def _reading(network: Callable, scale: Callable) -> Callable:
    """Return the score of picture and sound alone."""

    def score(params: PyTree, media: Media, cond: PyTree) -> Float[Array, " N"]:
        return scale(network(params)(media.video, log_mel(media.audio)))

    return score


def opinion(logit: Float[Array, "*B"]) -> Float[Array, "*B"]:
    """Return the mean opinion score, 1 to 5, that a logit stands for."""
    return 1 + 4 * jax.nn.sigmoid(logit)


# Text verifiers: what they see or hear of a clip, and the scale of their score.
_VIEWS: dict[str, tuple[Callable, Callable]] = {
    "mini_tv": (lambda media: media.video, lambda model, cosine: cosine),
    "mini_ta": (
        lambda media: log_mel(media.audio),
        lambda model, cosine: model.logit(cosine),
    ),
}
_READINGS: dict[str, Callable] = {
    "mini_av": jax.nn.log_sigmoid,
    "mini_quality": opinion,
}

"""Where LTX-2's text weights go in `modeling`.

Names are the originals' modules: of a single file, ``text_embedding_projection.`` is
``feature_extractor.`` and ``model.diffusion_model.video_embeddings_connector.`` is
``video_connector.`` (and likewise of sound). Gemma's names stand behind ``gemma.``.
"""

from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from flax import nnx

from avits_jax.generators.ltx2.text.config import TextConfig
from avits_jax.generators.ltx2.text.modeling import TextEncoder
from avits_jax.networks.gemma3 import params as gemma3
from avits_jax.nn.abstract import abstract
from avits_jax.types import PyTree
from avits_jax.weights.name_map import Rule, linear, norm, prefixed

_PROJECTIONS = {
    "aggregate_embed": "shared",
    "video_aggregate_embed": "video",
    "audio_aggregate_embed": "audio",
}


@dataclass(frozen=True)
class _Layers:
    """Takes the shares of all states but the last out of a projection.

    The projection is ``[out, in * states]``, the state fastest; it becomes
    ``[states - 1, in, out]``.
    """

    num_states: int

    def __call__(self, weight: np.ndarray) -> np.ndarray:
        by_state = weight.reshape(len(weight), -1, self.num_states)
        return by_state.transpose(2, 1, 0)[:-1]

    def rows(self, weight: Any, start: int, stop: int) -> np.ndarray:
        """Return the shares of some states of a matrix that is read piecemeal."""
        states = (weight.block(1, i, None, self.num_states) for i in range(start, stop))
        return np.stack([np.asarray(state).T for state in states])


@dataclass(frozen=True)
class _Last:
    """Takes the share of the last state out of a projection, as ``[in, out]``."""

    num_states: int

    def __call__(self, weight: np.ndarray) -> np.ndarray:
        return weight[:, self.num_states - 1 :: self.num_states].T

    def rows(self, weight: Any, start: int, stop: int) -> np.ndarray:
        """Return some rows, of a matrix that is read piecemeal."""
        step = self.num_states
        return np.asarray(weight.block(1, (start + 1) * step - 1, stop * step, step)).T


def _projection(source: str, target: str, num_states: int) -> tuple[Rule, ...]:
    source, target = f"feature_extractor.{source}", f"extractor.{{}}.{target}"
    layers, last = target.format("layers"), target.format("last")
    return (
        Rule(f"{source}.weight", f"{layers}.kernel", _Layers(num_states)),
        Rule(f"{source}.weight", f"{last}.kernel", _Last(num_states)),
        Rule(f"{source}.bias", f"{last}.bias"),
    )


_BLOCK = (
    *(
        rule
        for source, target in (
            ("attn1.to_q", "q"),
            ("attn1.to_k", "k"),
            ("attn1.to_v", "v"),
            ("attn1.to_out.0", "out"),
            ("attn1.to_gate_logits", "gate"),
            ("ff.net.0.proj", "up"),
            ("ff.net.2", "down"),
        )
        for rule in linear(source, target)
    ),
    *norm("attn1.q_norm", "q_norm"),
    *norm("attn1.k_norm", "k_norm"),
)
_CONNECTOR = (
    Rule("learnable_registers", "registers"),
    *prefixed(_BLOCK, "transformer_1d_blocks.{layer}.", "blocks."),
)


@cache
def connector_rules(num_states: int = 49) -> tuple[Rule, ...]:
    """Return the rules of `Connectors` for a language model with so many states."""
    return (
        *(
            rule
            for source, target in _PROJECTIONS.items()
            for rule in _projection(source, target, num_states)
        ),
        *prefixed(_CONNECTOR, "video_connector.", "video."),
        *prefixed(_CONNECTOR, "audio_connector.", "audio."),
    )


@cache
def text_rules(num_states: int = 49) -> tuple[Rule, ...]:
    """Return the rules of `TextEncoder`; see `connector_rules`."""
    return (
        *prefixed(gemma3.RULES, "gemma.", "gemma."),
        *prefixed(connector_rules(num_states), target="connectors."),
    )


IGNORED: dict[str, str] = {
    f"gemma.{pattern}": why for pattern, why in gemma3.IGNORED.items()
}


@cache
def build(config: TextConfig) -> tuple[nnx.GraphDef, PyTree]:
    """Return the network's graph, and its parameters as shapes without memory."""
    return abstract(lambda rngs: TextEncoder(config, rngs=rngs))

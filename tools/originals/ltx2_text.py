"""LTX-2's text connectors beside diffusers' class."""

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from avits_jax.converting import ltx2_names
from avits_jax.generators.ltx2.text.config import (
    CONNECTORS_2_0,
    ConnectorsConfig,
    TextConfig,
)
from avits_jax.generators.ltx2.text.modeling import Connectors
from avits_jax.generators.ltx2.text.params import connector_rules
from avits_jax.networks.gemma3.config import Gemma3Config
from avits_jax.nn.abstract import abstract
from tools.originals.importing import package
from tools.originals.ltx2 import pipelines, translated
from tools.originals.pairs import Net, Pair, draw, program, settle, torch_program

_LAYERS = 4  # of the language model, which has one state more
_LENGTH, _TOKENS = 128, 40  # the others are padding


def connectors_2_0(folder: Path | None) -> Pair:
    """LTX-2.0's connectors on a prompt."""
    del folder
    return _connectors(CONNECTORS_2_0)


def connectors_2_3(folder: Path | None) -> Pair:
    """LTX-2.3's connectors on a prompt."""
    del folder
    return _connectors(ConnectorsConfig())


def _connectors(published: ConnectorsConfig) -> Pair:
    torch = package("torch")
    connectors = replace(published, depth=1)
    config = TextConfig(Gemma3Config(num_hidden_layers=_LAYERS), connectors)
    made = pipelines().LTX2TextConnectors
    model = settle(torch, made(**_constructor(config)))
    graph, like = abstract(lambda rngs: Connectors(config, rngs=rngs))
    rules = connector_rules(config.gemma.num_states)
    part = partial(translated, "connectors", ltx2_names.TEXT)
    net = Net(graph, like, rules, None, part)
    states = draw(1, _LENGTH, config.gemma.hidden_size, config.gemma.num_states)
    mask = np.arange(_LENGTH)[None] >= _LENGTH - _TOKENS

    def ours(model: Connectors, states: Any, mask: Any) -> Any:
        return tuple(model.contexts(model.features(states, mask), mask))

    return Pair(
        program(net, model, ours, np.moveaxis(states, -1, 0), mask),
        torch_program(torch, lambda *given: model(*given)[:2], states, mask),
        list,
    )


def _constructor(config: TextConfig) -> dict[str, Any]:
    """What diffusers' class takes for our sizes."""
    connectors = config.connectors
    found: dict[str, Any] = {
        "caption_channels": config.gemma.hidden_size,
        "text_proj_in_factor": config.gemma.num_states,
        "connector_rope_base_seq_len": connectors.max_position,
        "rope_theta": connectors.theta,
        "rope_type": "split",
        "per_modality_projections": not connectors.shared,
        "video_hidden_dim": connectors.video.width,
        "audio_hidden_dim": connectors.audio.width,
        "proj_bias": not connectors.shared,
    }
    for name, heads in (("video", connectors.video), ("audio", connectors.audio)):
        found |= {
            f"{name}_connector_num_attention_heads": heads.heads,
            f"{name}_connector_attention_head_dim": heads.head_dim,
            f"{name}_connector_num_layers": connectors.depth,
            f"{name}_connector_num_learnable_registers": connectors.registers,
            f"{name}_gated_attn": connectors.gated,
        }
    return found

"""LTX-2's text encoder against its goldens: Gemma-3, features and connectors."""

from collections import defaultdict
from collections.abc import Mapping
from typing import Any

import jax.numpy as jnp
import numpy as np

from avits_jax.generators.ltx2.streams import Streams
from avits_jax.generators.ltx2.text.config import (
    ConnectorsConfig,
    HeadsConfig,
    TextConfig,
)
from avits_jax.generators.ltx2.text.modeling import Connectors
from avits_jax.generators.ltx2.text.params import connector_rules
from avits_jax.networks.gemma3 import params as gemma3
from avits_jax.networks.gemma3.config import Gemma3Config
from avits_jax.networks.gemma3.modeling import Gemma3
from tools.parity.checks import Expect
from tools.parity.golden import Golden
from tools.parity.manifests import check_manifest
from tools.parity.modules import load_module, run_compiled
from tools.parity.registry import register


def gemma3_config(config: Mapping[str, Any]) -> Gemma3Config:
    """Our configuration from transformers'."""
    rope = config["rope_parameters"]
    return Gemma3Config(
        vocab_size=config["vocab_size"],
        hidden_size=config["hidden_size"],
        intermediate_size=config["intermediate_size"],
        num_hidden_layers=config["num_hidden_layers"],
        num_attention_heads=config["num_attention_heads"],
        num_key_value_heads=config["num_key_value_heads"],
        head_dim=config["head_dim"],
        query_pre_attn_scalar=config["query_pre_attn_scalar"],
        full_attention=tuple(
            kind == "full_attention" for kind in config["layer_types"]
        ),
        sliding_window=config["sliding_window"],
        rope_theta=rope["full_attention"]["rope_theta"],
        rope_factor=rope["full_attention"].get("factor", 1.0),
        local_rope_theta=rope["sliding_attention"]["rope_theta"],
        epsilon=config["rms_norm_eps"],
    )


@register("gemma3_text*", holds=("in.input_ids", "constructor.layer_types"))
def run_gemma3(golden: Golden) -> dict:
    """All hidden states, where tokens are no padding."""
    config = gemma3_config(golden.info["constructor"])
    model = load_module(golden, lambda r: Gemma3(config, rngs=r), gemma3.RULES)
    mask = np.asarray(golden.inputs["attention_mask"]) != 0
    ids = jnp.asarray(golden.inputs["input_ids"], jnp.int32)
    states = run_compiled(Gemma3.__call__, model, ids, jnp.asarray(mask))
    states = np.moveaxis(np.asarray(states), 0, -1)
    expected = np.asarray(golden.outputs["hidden_states"])
    return {"hidden_states": Expect(states[mask], expected[mask])}


@register("manifest_gemma3_*", holds=("tensors.layers.0.self_attn.q_norm.weight",))
def run_gemma3_manifest(golden: Golden) -> dict:
    """Keys of the full-size text model."""
    like = gemma3.build(Gemma3Config())[1]
    entries = {key: (shape, "float32") for key, (shape, _) in golden.manifest.items()}
    return check_manifest(entries, like, gemma3.RULES)


def connectors_config(config: Mapping[str, Any]) -> TextConfig:
    """Our configuration from the golden's, whose language model is not there.

    Raises:
        ValueError: its rotary positions are of a kind that no release uses.
    """
    kind = config["rope_type"], config["double_precision_rope"]
    if kind != ("split", True):
        raise ValueError(f"rotary positions are {kind}; expected ('split', True)")
    (max_position,) = config["positional_embedding_max_pos"]
    return TextConfig(
        Gemma3Config(
            hidden_size=config["gemma_hidden"],
            num_hidden_layers=config["gemma_states"] - 1,
        ),
        ConnectorsConfig(
            video=HeadsConfig(*config["video_heads_headdim"]),
            audio=HeadsConfig(*config["audio_heads_headdim"]),
            depth=config["num_layers"],
            registers=config["num_learnable_registers"],
            gated=config["gated_attention"],
            shared=config["version"] == "2.0",
            max_position=max_position,
            theta=config["theta"],
            epsilon=config["norm_eps"],
        ),
    )


@register("connectors_2*", holds=("in.p*.hidden_states", "constructor.gemma_states"))
def run_connectors(golden: Golden) -> dict:
    """Features and contexts of each prompt; those of one length are one batch."""
    config = connectors_config(golden.info["constructor"])
    rules = connector_rules(config.gemma.num_states)
    model = load_module(golden, lambda r: Connectors(config, rngs=r), rules)
    inputs, rows = golden.inputs, defaultdict(list)
    for key, states in inputs.items():
        if key.endswith(".hidden_states"):
            rows[states.shape].append(key.removesuffix(".hidden_states"))
    results: dict[str, Any] = {}
    for names in rows.values():
        states = jnp.concatenate([inputs[f"{x}.hidden_states"] for x in names])
        mask = np.concatenate([inputs[f"{x}.attention_mask"] for x in names]) != 0
        pairs = run_compiled(
            _features_and_contexts, model, jnp.moveaxis(states, -1, 0), mask
        )
        for i, name in enumerate(names):
            for kind, streams in pairs.items():
                for stream, x in streams._asdict().items():
                    results[f"{name}.{stream}_{kind}"] = x[i : i + 1]
            # A context has no mask: the original's shows everything.
            results[f"{name}.mask"] = np.ones_like(mask[i : i + 1])
    return results


def _features_and_contexts(model: Connectors, states, mask) -> dict[str, Streams]:
    features = model.features(states, mask)
    return {"features": features, "encoding": model.contexts(features, mask)}

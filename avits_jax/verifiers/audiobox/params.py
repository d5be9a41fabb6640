"""Where the published weights of Audiobox aesthetics go.

Upstream: facebook/audiobox-aesthetics, ``model.safetensors``, or ``checkpoint.pt``,
whose keys begin with "model.".
"""

from functools import cache

import numpy as np
from flax import nnx

from avits_jax.nn.abstract import abstract
from avits_jax.types import PyTree
from avits_jax.verifiers.audiobox.config import AXES, AudioboxConfig
from avits_jax.verifiers.audiobox.modeling import Audiobox
from avits_jax.weights.name_map import Rule, embedding, linear, norm, prefixed

# Layers that names are made for: as many as sizes may have, see `weights.config`.
_MOST_CONVS, _MOST_HEAD_LAYERS = 14, 32


def _time_norm(scale: np.ndarray, direction: np.ndarray) -> np.ndarray:
    """Return the kernel ``[K, in, out]`` of weights normed for each tap of the window.

    ``torch.nn.utils.weight_norm`` with ``dim=2``.
    """
    norm = np.sqrt(np.sum(np.square(direction), (0, 1), keepdims=True))
    weight = direction * (scale / np.maximum(norm, np.finfo(np.float32).tiny))
    return np.moveaxis(weight, (1, 0), (-2, -1))


def _flat(values: np.ndarray) -> np.ndarray:
    return values.reshape(-1)


def _stacked_linear(*weights: np.ndarray) -> np.ndarray:
    """Stack linear weights ``[out, in]`` to one kernel ``[axis, in, out]``."""
    return np.swapaxes(np.stack(weights), -1, -2)


def _stacked(*values: np.ndarray) -> np.ndarray:
    return np.stack(values)


def _by_axis(source: str) -> tuple[str, ...]:
    return tuple(source.format(axis=axis) for axis in AXES)


def _head_layer(index: int) -> tuple[Rule, ...]:
    """Map a head's layer: linear, LayerNorm and GELU take three places each."""
    place, target = f"proj_layer.{{axis}}.{3 * index}", f"heads.layers.{index}"
    after = f"proj_layer.{{axis}}.{3 * index + 1}"
    return (
        Rule(_by_axis(f"{place}.weight"), f"{target}.linear.kernel", _stacked_linear),
        Rule(_by_axis(f"{place}.bias"), f"{target}.linear.bias", _stacked),
        Rule(_by_axis(f"{after}.weight"), f"{target}.norm.scale", _stacked),
        Rule(_by_axis(f"{after}.bias"), f"{target}.norm.bias", _stacked),
    )


_BLOCK = (
    *linear("self_attn.{part}_proj", "attention.{part}"),
    *linear("self_attn.grep_linear", "attention.gate"),
    Rule("self_attn.grep_a", "attention.gate_scale", _flat),
    *norm("self_attn_layer_norm", "norm1"),
    *linear("fc1", "up"),
    *linear("fc2", "down"),
    *norm("final_layer_norm", "norm2"),
)
_CONVS = "feature_extractor.conv_layers"
_ENCODER = (
    Rule(f"{_CONVS}.0.0.weight", "first.conv.kernel", "conv"),
    *norm(f"{_CONVS}.0.2", "first"),
    *(
        Rule(f"{_CONVS}.{i}.0.weight", f"encoder.convs.{i - 1}.kernel", "conv")
        for i in range(1, _MOST_CONVS)
    ),
    *norm("layer_norm", "encoder.frame_norm"),
    *linear("post_extract_proj", "encoder.project"),
    Rule(
        ("encoder.pos_conv.0.weight_g", "encoder.pos_conv.0.weight_v"),
        "encoder.positions.kernel",
        _time_norm,
    ),
    Rule("encoder.pos_conv.0.bias", "encoder.positions.bias"),
    *norm("encoder.layer_norm", "encoder.norm"),
    *embedding("encoder.layers.0.self_attn.relative_attention_bias", "encoder.bias"),
    *prefixed(_BLOCK, "encoder.layers.{layer}.", "encoder.blocks."),
)
_NAMES = (
    *prefixed(_ENCODER, "wavlm_model."),
    Rule(_by_axis("layer_weights.{axis}"), "mix", _stacked),
    *(rule for i in range(_MOST_HEAD_LAYERS) for rule in _head_layer(i)),
)
_WHOLE = "model."  # before the keys of checkpoint.pt

RULES: tuple[Rule, ...] = (*_NAMES, *prefixed(_NAMES, _WHOLE))

_UNUSED = {"wavlm_model.mask_emb": "for training only"}
IGNORED = {**_UNUSED, **{_WHOLE + key: why for key, why in _UNUSED.items()}}


@cache
def build(config: AudioboxConfig) -> tuple[nnx.GraphDef, PyTree]:
    """Return the network's graph, and its parameters as shapes without memory."""
    return abstract(lambda rngs: Audiobox(config, rngs=rngs))

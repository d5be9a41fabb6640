"""Where VideoReward's published weights go, in each of the layouts they come in."""

from collections.abc import Mapping
from functools import cache
from typing import Any

from flax import nnx

from avits_jax.nn.abstract import abstract
from avits_jax.types import PyTree
from avits_jax.verifiers.video_reward.config import VideoRewardConfig
from avits_jax.verifiers.video_reward.modeling import VideoReward
from avits_jax.weights.lora import LoraWeight, Update
from avits_jax.weights.name_map import Rule, embedding, linear, norm, prefixed

# Newer transformers releases moved both encoders; PEFT wraps everything once more.
_RENAMED = {
    "base_model.model.": "",
    "model.visual.": "visual.",
    "model.language_model.": "model.",
}
_ATTENTION = {"q_proj": "q", "k_proj": "k", "v_proj": "v", "o_proj": "o"}
_MLP = {"gate_proj": "gate", "up_proj": "up", "down_proj": "down"}


def _plain_name(key: str) -> str:
    """Return a key without wrappers: ``base_layer``, the adapter's, moved encoders."""
    for prefix, ours in _RENAMED.items():
        if key.startswith(prefix):
            key = ours + key.removeprefix(prefix)
    return key.replace(".base_layer.", ".").replace(".default.weight", ".weight")


def merge_lora(*parts: Mapping[str, Any], scale: float) -> dict[str, Any]:
    """Bring a checkpoint to the plain layout, its low-rank updates merged.

    The published file is a whole PEFT state dict, not merged (``model.pth``). The other
    layout that its loader accepts is the base model, ``non_lora_state_dict.pth`` and
    ``adapter_model.safetensors``: pass these three, in this order.

    Args:
        parts: state dicts; of two values for one name the later one wins.
        scale: alpha over rank of the updates.

    Returns:
        Plain key -> value; `LoraWeight` where there is an update.

    Raises:
        ValueError: an update lacks its other half or the weight that it updates.
    """
    merged = {_plain_name(key): value for part in parts for key, value in part.items()}
    halves = [key for key in merged if ".lora_A." in key or ".lora_B." in key]
    names = sorted({key.split(".lora_")[0] for key in halves})
    absent = []
    for name in names:
        keys = [f"{name}{end}.weight" for end in ("", ".lora_A", ".lora_B")]
        absent += [key for key in keys if key not in merged]
        if not absent:
            base, down, up = (merged.pop(key) for key in keys)
            merged[keys[0]] = LoraWeight(base, (Update(down, up, scale),))
    if absent:
        raise ValueError(f"state dict lacks {', '.join(absent)}, needed to merge LoRA")
    return merged


def _vision_rules() -> tuple[Rule, ...]:
    block = "blocks.{layer}"
    return prefixed(
        (
            Rule(
                "patch_embed.proj.weight",
                "embed.kernel",
                lambda weight: weight.reshape(len(weight), -1).T,
            ),
            *norm(f"{block}.norm1", "blocks.norm1"),
            *norm(f"{block}.norm2", "blocks.norm2"),
            *linear(f"{block}.attn.qkv", "blocks.qkv"),
            *linear(f"{block}.attn.proj", "blocks.out"),
            *linear(f"{block}.mlp.fc1", "blocks.fc1"),
            *linear(f"{block}.mlp.fc2", "blocks.fc2"),
            *norm("merger.ln_q", "norm"),
            *linear("merger.mlp.0", "fc1"),
            *linear("merger.mlp.2", "fc2"),
        ),
        "visual.",
        "vision.",
    )


def video_reward_rules() -> tuple[Rule, ...]:
    """Return the rules of `VideoReward`, from `merge_lora`'s plain layout."""
    layer = "model.layers.{layer}"
    rules = [
        *_vision_rules(),
        *embedding("model.embed_tokens", "embed"),
        *norm(f"{layer}.input_layernorm", "layers.norm1"),
        *norm(f"{layer}.post_attention_layernorm", "layers.norm2"),
        *norm("model.norm", "norm"),
        *linear("rm_head", "head"),
        # The output embedding is the input embedding once more.
        Rule("lm_head.weight", "embed.embedding", fallback=True),
    ]
    for name, ours in _ATTENTION.items():
        rules += linear(f"{layer}.self_attn.{name}", f"layers.{ours}")
    for name, ours in _MLP.items():
        rules += linear(f"{layer}.mlp.{name}", f"layers.{ours}")
    return tuple(rules)


@cache
def build(config: VideoRewardConfig) -> tuple[nnx.GraphDef, PyTree]:
    """Return the network's graph, and its parameters as shapes without memory."""
    return abstract(lambda rngs: VideoReward(config, rngs=rngs))

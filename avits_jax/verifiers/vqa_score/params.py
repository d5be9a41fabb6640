"""Where the published weights of CLIP-FlanT5 go."""

from functools import cache

from flax import nnx

from avits_jax.networks.clip.params import VISION_TRUNK
from avits_jax.networks.t5.params import t5_rules
from avits_jax.nn.abstract import abstract
from avits_jax.types import PyTree
from avits_jax.verifiers.vqa_score.config import VQAScoreConfig
from avits_jax.verifiers.vqa_score.modeling import VQAScore
from avits_jax.weights.name_map import Rule, linear, prefixed

_TOWER = "vision_tower.vision_tower.vision_model."


def vqa_score_rules() -> tuple[Rule, ...]:
    """Return the rules of `VQAScore`."""
    return (
        *prefixed(VISION_TRUNK, _TOWER, "vision."),
        *linear("mm_projector.0", "projector.fc1"),
        *linear("mm_projector.2", "projector.fc2"),
        *t5_rules(target="language."),
    )


def vqa_score_ignored(config: VQAScoreConfig) -> dict[str, str]:
    """Return keys that the score does not use: pattern -> why."""
    last = f"{_TOWER}encoder.layers.{config.clip.num_hidden_layers - 1}."
    why = "the encoder is read before its last layer"
    return {
        **{f"{last}{{a}}.{{b}}": why, f"{last}{{a}}.{{b}}.{{c}}": why},
        f"{_TOWER}post_layernorm.{{name}}": why,
        f"{_TOWER}embeddings.position_ids": "a constant",
    }


@cache
def build(config: VQAScoreConfig) -> tuple[nnx.GraphDef, PyTree]:
    """Return the network's graph, and its parameters as shapes without memory."""
    return abstract(lambda rngs: VQAScore(config, rngs=rngs))

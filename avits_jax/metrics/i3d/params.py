"""Names of I3D's public weights (``i3d_pretrained_400.pt``), mapped onto ours."""

from functools import cache

from flax import nnx

from avits_jax.metrics.i3d.config import I3dConfig
from avits_jax.metrics.i3d.modeling import I3d
from avits_jax.nn.abstract import abstract
from avits_jax.types import PyTree
from avits_jax.weights.name_map import Rule, batch_norm, conv, prefixed

_STEM = ("Conv3d_1a_7x7", "Conv3d_2b_1x1", "Conv3d_2c_3x3")
_MIXED = ("3b", "3c", "4b", "4c", "4d", "4e", "4f", "5b", "5c")

_UNIT = (*conv("conv3d", "layer.conv"), *batch_norm("bn", "layer.norm"))

RULES: tuple[Rule, ...] = (
    *(
        rule
        for index, name in enumerate(_STEM)
        for rule in prefixed(_UNIT, f"{name}.", f"stem.{index}.")
    ),
    *(
        rule
        for index, name in enumerate(_MIXED)
        for rule in prefixed(
            _UNIT, f"Mixed_{name}.{{branch}}.", f"mixed.{index}.{{branch}}."
        )
    ),
    Rule("logits.conv3d.weight", "logits.kernel", "pointwise"),
    Rule("logits.conv3d.bias", "logits.bias"),
)

IGNORED: dict[str, str] = {
    "{unit}.bn.num_batches_tracked": "training only",
    "{mixed}.{branch}.bn.num_batches_tracked": "training only",
}


@cache
def build(config: I3dConfig) -> tuple[nnx.GraphDef, PyTree]:
    """Return the network's graph, and its parameters as shapes without memory."""
    return abstract(lambda rngs: I3d(config, rngs=rngs))

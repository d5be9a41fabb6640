"""Names of TAEHV's published weights, mapped onto ours.

Layers are numbered in a row: three before the stages, then in each stage the memory
blocks, a doubling of pixels, a convolution to more frames, and one to another width.
Files in .pth and .safetensors have the same names.
"""

from functools import cache

from flax import nnx

from avits_jax.networks.taehv.config import NUM_BLOCKS, NUM_STAGES, TaehvConfig
from avits_jax.networks.taehv.modeling import TaehvDecoder
from avits_jax.nn.abstract import abstract
from avits_jax.types import PyTree
from avits_jax.weights.name_map import Rule, conv

_FIRST, _PER_STAGE = 3, NUM_BLOCKS + 3
_END = _FIRST + NUM_STAGES * _PER_STAGE


def _block(layer: int, target: str) -> tuple[Rule, ...]:
    return (
        *conv(f"decoder.{layer}.conv.0", f"{target}.conv1"),
        *conv(f"decoder.{layer}.conv.2", f"{target}.conv2"),
        *conv(f"decoder.{layer}.conv.4", f"{target}.conv3"),
    )


def _stage(index: int) -> tuple[Rule, ...]:
    first, target = _FIRST + index * _PER_STAGE, f"stages.{index}"
    grow = f"decoder.{first + NUM_BLOCKS + 1}.conv.weight"
    project = f"decoder.{first + NUM_BLOCKS + 2}.weight"
    blocks = (_block(first + i, f"{target}.blocks.{i}") for i in range(NUM_BLOCKS))
    return (
        *(rule for rules in blocks for rule in rules),
        Rule(grow, f"{target}.grow.kernel", "pointwise"),
        Rule(project, f"{target}.conv.kernel", "conv"),
    )


RULES: tuple[Rule, ...] = (
    *conv("decoder.1", "conv_in"),
    *(rule for index in range(NUM_STAGES) for rule in _stage(index)),
    *conv(f"decoder.{_END + 1}", "conv_out"),
)

_ENCODER = "the encoder, which is not used"
IGNORED: dict[str, str] = {
    "encoder.{layer}.{kind}": _ENCODER,
    "encoder.{layer}.conv.{kind}": _ENCODER,
    "encoder.{layer}.conv.{part}.{kind}": _ENCODER,
}


@cache
def build(config: TaehvConfig) -> tuple[nnx.GraphDef, PyTree]:
    """Return the network's graph, and its parameters as shapes without memory."""
    return abstract(lambda rngs: TaehvDecoder(config, rngs=rngs))

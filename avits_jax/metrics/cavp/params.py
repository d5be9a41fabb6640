"""Names of CAVP's published weights (``cavp_epoch66.ckpt``), mapped onto ours."""

from functools import cache

from flax import nnx

from avits_jax.metrics.cavp.config import CavpConfig
from avits_jax.metrics.cavp.modeling import Cavp
from avits_jax.nn.abstract import abstract
from avits_jax.types import PyTree
from avits_jax.weights.name_map import Rule, batch_norm, conv, linear, prefixed

_UNIT = (*conv("conv", "conv"), *batch_norm("bn", "norm"))
_BLOCK = (
    *conv("conv{part}", "layer{part}.conv"),
    *batch_norm("bn{part}", "layer{part}.norm"),
)

_VIDEO = (
    *prefixed(_UNIT, "conv1.", "stem."),
    *(
        rule
        for stage in range(4)
        for rule in prefixed(
            _UNIT,
            f"layer{stage + 1}.{{block}}.{{part}}.",
            f"stages.{stage}.{{block}}.{{part}}.",
        )
    ),
)
_AUDIO = (
    *batch_norm("bn", "mel_norm"),
    *(
        rule
        for block in range(6)
        for rule in prefixed(_BLOCK, f"conv_block{block + 1}.", f"blocks.{block}.")
    ),
    *linear("fc1", "hidden"),
    *linear("final_project", "out"),
)

RULES: tuple[Rule, ...] = (
    *prefixed(_VIDEO, "video_encoder.", "video."),
    *linear("video_project_head", "video_out"),
    *prefixed(_AUDIO, "spec_encoder.", "audio."),
)

IGNORED: dict[str, str] = {
    "logit_scale": "the score is the cosine itself",
    "video_encoder.conv1.bn.num_batches_tracked": "training only",
    "video_encoder.{stage}.{block}.{part}.bn.num_batches_tracked": "training only",
    "spec_encoder.bn.num_batches_tracked": "training only",
    "spec_encoder.{block}.{norm}.num_batches_tracked": "training only",
}


@cache
def build(config: CavpConfig) -> tuple[nnx.GraphDef, PyTree]:
    """Return the network's graph, and its parameters as shapes without memory."""
    return abstract(lambda rngs: Cavp(config, rngs=rngs))

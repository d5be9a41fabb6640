"""Names of the published weights (``Cnn14_16k_mAP=0.438.pth``), mapped onto ours."""

from functools import cache

from flax import nnx

from avits_jax.metrics.cnn14.config import Cnn14Config
from avits_jax.metrics.cnn14.modeling import Cnn14
from avits_jax.nn.abstract import abstract
from avits_jax.types import PyTree
from avits_jax.weights.name_map import Rule, batch_norm, conv, linear, prefixed

_BLOCK = (
    *conv("conv{layer}", "layer{layer}.conv"),
    *batch_norm("bn{layer}", "layer{layer}.norm"),
)

RULES: tuple[Rule, ...] = (
    *batch_norm("bn0", "mel_norm"),
    *prefixed(_BLOCK, "conv_block{number}.", "blocks.{number}."),
    *linear("fc1", "features"),
    *linear("fc_audioset", "logits"),
)

IGNORED: dict[str, str] = {
    "bn0.num_batches_tracked": "training only",
    "{block}.{layer}.num_batches_tracked": "training only",
    "spectrogram_extractor.stft.conv_{part}.weight": "a Fourier transform, computed",
    "logmel_extractor.melW": "a table, computed",
}


@cache
def build(config: Cnn14Config) -> tuple[nnx.GraphDef, PyTree]:
    """Return the network's graph, and its parameters as shapes without memory."""
    return abstract(lambda rngs: Cnn14(config, rngs=rngs))

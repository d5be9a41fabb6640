"""Names of the published weights (``AudioCLIP-Full-Training.pt``), mapped onto ours.

The file holds a tower of images and one of texts as well, which FAD does not need.
"""

from functools import cache

from flax import nnx

from avits_jax.metrics.audioclip.config import AudioClipConfig
from avits_jax.metrics.audioclip.modeling import AudioHead
from avits_jax.nn.abstract import abstract
from avits_jax.types import PyTree
from avits_jax.weights.name_map import Rule, batch_norm, conv, linear, prefixed

_STAGES = range(4)


def _attention(source: str, target: str) -> tuple[Rule, ...]:
    return (
        *conv(f"{source}.conv_depth", f"{target}.depth"),
        Rule(f"{source}.conv_point.weight", f"{target}.point.kernel", "pointwise"),
        Rule(f"{source}.conv_point.bias", f"{target}.point.bias"),
        *batch_norm(f"{source}.bn", f"{target}.norm"),
    )


_BLOCK = (
    Rule("conv{part}.weight", "conv{part}.conv.kernel", "conv"),
    *batch_norm("bn{part}", "conv{part}.norm"),
    Rule("downsample.0.weight", "downsample.conv.kernel", "conv"),
    *batch_norm("downsample.1", "downsample.norm"),
)

HEAD_RULES: tuple[Rule, ...] = (
    Rule("fbsp.m", "spectrogram.filters.order"),
    Rule("fbsp.fb", "spectrogram.filters.bandwidth"),
    Rule("fbsp.fc", "spectrogram.filters.centre"),
    Rule("conv1.weight", "stem.conv.kernel", "conv"),
    *batch_norm("bn1", "stem.norm"),
    *(
        rule
        for stage in _STAGES
        for rule in (
            *prefixed(
                _BLOCK, f"layer{stage + 1}.{{block}}.", f"stages.{stage}.{{block}}."
            ),
            *_attention(f"att{stage + 1}", f"attentions.{stage}"),
        )
    ),
    *_attention("att5", "last_attention"),
    *linear("fc", "out"),
)

HEAD_IGNORED: dict[str, str] = {
    "window": "made where it is used",
    "fbsp.bias": "empty",
    "bn1.num_batches_tracked": "training only",
    "{attention}.bn.num_batches_tracked": "training only",
    "{stage}.{block}.{norm}.num_batches_tracked": "training only",
    "{stage}.{block}.downsample.1.num_batches_tracked": "training only",
}

_IMAGES, _TEXTS = "the tower of images, not used", "the tower of texts, not used"
_OTHERS: dict[str, str] = {
    **{
        f"visual.{rest}": _IMAGES
        for rest in (
            "{layer}.{kind}",
            "{stage}.{block}.{layer}.{kind}",
            "{stage}.{block}.downsample.{layer}.{kind}",
            "attnpool.positional_embedding",
            "attnpool.{layer}.{kind}",
        )
    },
    "transformer.resblocks.{block}.{layer}.{kind}": _TEXTS,
    "transformer.resblocks.{block}.mlp.{layer}.{kind}": _TEXTS,
    "transformer.resblocks.{block}.attn.out_proj.{kind}": _TEXTS,
    "token_embedding.weight": _TEXTS,
    "ln_final.{kind}": _TEXTS,
    "positional_embedding": _TEXTS,
    "text_projection": _TEXTS,
    "logit_scale": "there are no pairs to compare",
    "logit_scale_{pair}": "there are no pairs to compare",
}

RULES = prefixed(HEAD_RULES, "audio.")
IGNORED = {
    **{f"audio.{key}": reason for key, reason in HEAD_IGNORED.items()},
    **_OTHERS,
}


@cache
def build(config: AudioClipConfig) -> tuple[nnx.GraphDef, PyTree]:
    """Return the network's graph, and its parameters as shapes without memory."""
    return abstract(lambda rngs: AudioHead(config, rngs=rngs))

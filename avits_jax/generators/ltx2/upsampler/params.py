"""Names of the upsamplers' published weights, mapped onto ours.

Files of the plain and of the rational form name the convolution before the shuffle
differently. diffusers has the same names.
"""

from functools import cache

from flax import nnx

from avits_jax.generators.ltx2.upsampler.config import UpsamplerConfig
from avits_jax.generators.ltx2.upsampler.modeling import Upsampler
from avits_jax.nn.abstract import abstract
from avits_jax.types import PyTree
from avits_jax.weights.name_map import Rule, conv, norm, prefixed

_BLOCK = (
    *conv("conv1", "conv1"),
    *norm("norm1", "norm1"),
    *conv("conv2", "conv2"),
    *norm("norm2", "norm2"),
)

RULES: tuple[Rule, ...] = (
    *conv("initial_conv", "conv_in"),
    *norm("initial_norm", "norm_in"),
    *prefixed(_BLOCK, "res_blocks.{layer}.", "before."),
    *conv("upsampler.0", "resample.conv"),
    *conv("upsampler.conv", "resample.conv"),
    *prefixed(_BLOCK, "post_upsample_res_blocks.{layer}.", "after."),
    *conv("final_conv", "conv_out"),
)

IGNORED: dict[str, str] = {
    "upsampler.blur_down.kernel": "a constant, the same in every file"
}


@cache
def build(config: UpsamplerConfig) -> tuple[nnx.GraphDef, PyTree]:
    """Return the network's graph, and its parameters as shapes without memory."""
    return abstract(lambda rngs: Upsampler(config, rngs=rngs))

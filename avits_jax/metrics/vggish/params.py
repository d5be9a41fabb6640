"""Names of the published weights (``vggish-10086976.pth``), mapped onto ours."""

from functools import cache

from flax import nnx

from avits_jax.metrics.vggish.config import VggishConfig
from avits_jax.metrics.vggish.modeling import Vggish
from avits_jax.nn.abstract import abstract
from avits_jax.types import PyTree
from avits_jax.weights.name_map import Rule, conv, linear

RULES: tuple[Rule, ...] = (
    *conv("features.{number}", "features.layers.{number}"),
    *linear("embeddings.{number}", "embeddings.{number}"),
)

IGNORED: dict[str, str] = {
    "pproc.pca_{part}": "whitening of AudioSet's features, which FD_VGG leaves out",
}


@cache
def build(config: VggishConfig) -> tuple[nnx.GraphDef, PyTree]:
    """Return the network's graph, and its parameters as shapes without memory."""
    return abstract(lambda rngs: Vggish(config, rngs=rngs))

"""VGGish (Hershey et al., arXiv 1609.09430): VGG on pieces of a spectrogram.

The last layer has no ReLU, and nothing is whitened or quantised after it.

Upstream: hkchengrex/av-benchmark at 050a5cd, av_bench/vggish/vggish.py (after
harritaylor/torchvggish).
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from avits_jax.metrics.vggish.config import VggishConfig
from avits_jax.nn.convolution import Convolution


def _halve(x: Float[Array, "B T M C"]) -> Float[Array, "B t m C"]:
    """Take the largest of four; a last odd row or column is dropped.

    Not as a pooling: XLA would have a CPU do linear layers behind it thirty times
    slower.
    """
    x = jnp.maximum(x[:, :-1:2], x[:, 1::2])
    return jnp.maximum(x[:, :, :-1:2], x[:, :, 1::2])


def _convolutions(config: VggishConfig, rngs: nnx.Rngs) -> nnx.Sequential:
    """Return convolutions, ReLUs and poolings, numbered as they are published."""
    layers: list[Callable] = []
    inputs = 1
    for stage in config.stages:
        for outputs in stage:
            layers += [Convolution(inputs, outputs, (3, 3), rngs=rngs), jax.nn.relu]
            inputs = outputs
        layers.append(_halve)
    return nnx.Sequential(*layers)


class Vggish(nnx.Module):
    """Pieces of log-mel spectrograms to features."""

    def __init__(self, config: VggishConfig, *, rngs: nnx.Rngs):
        self.features = _convolutions(config, rngs)
        widths = (config.flat_width, config.hidden, config.hidden, config.embed_dim)
        pairs = zip(widths[:-1], widths[1:], strict=True)
        self.embeddings = nnx.Dict(  # ReLUs have the numbers between
            {str(2 * i): nnx.Linear(*pair, rngs=rngs) for i, pair in enumerate(pairs)}
        )

    def __call__(self, pieces: Float[Array, "B P T M"]) -> Float[Array, "B P E"]:
        """Return one float32 row of features for each piece of each sound."""
        x = pieces.reshape(-1, *pieces.shape[2:], 1)
        first, second, last = (self.embeddings[number] for number in ("0", "2", "4"))
        x = self.features(x.astype(first.kernel.dtype)).reshape(len(x), -1)
        x = last(jax.nn.relu(second(jax.nn.relu(first(x)))))
        return x.reshape(*pieces.shape[:2], -1).astype(jnp.float32)

"""AudioCLIP's audio head (Guzhov et al., arXiv 2106.13043): ESResNeXt with FBSP.

A ResNeXt-50 over a spectrogram of three bands; each of its four stages is weighed by an
attention over time or frequency of the map before it, and the end by one over both.

Upstream: AndreyGuzhov/AudioCLIP, model/esresnet/base.py (ResNetWithAttention,
_ESResNet) and model/esresnet/attention.py (Attention2d).
"""

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Float

from avits_jax.metrics.audioclip.config import AudioClipConfig
from avits_jax.metrics.audioclip.spectrogram import Spectrogram, rescaled
from avits_jax.nn.batch_norm import FixedBatchNorm
from avits_jax.nn.residual import ConvNorm, bottlenecks, run_blocks

# Windows of the attention over each stage: frequency, time.
_WINDOWS = ((3, 1), (1, 5), (3, 1), (1, 5))
_LAST_WINDOW = (3, 5)


def adaptive_max(
    x: Float[Array, "B H W C"], size: tuple[int, int]
) -> Float[Array, "B h w C"]:
    """Take the largest value of windows that cover a map evenly, as torch lays them."""
    for axis, target in ((1, size[0]), (2, size[1])):
        source, places = x.shape[axis], np.arange(target)
        first = places * source // target
        last = -(-(places + 1) * source // target) - 1
        steps = range(int(np.max(last - first, initial=0)) + 1)
        picked = [jnp.take(x, np.minimum(first + s, last), axis) for s in steps]
        x = jnp.max(jnp.stack(picked), 0) if len(picked) > 1 else picked[0]
    return x


class Attention(nnx.Module):
    """Weights in (0, 1) for a stage's map, of the map before it."""

    def __init__(
        self, inputs: int, outputs: int, size: tuple[int, int], *, rngs: nnx.Rngs
    ):
        self.depth = nnx.Conv(
            inputs,
            inputs,
            size,
            padding=[(side // 2, side // 2) for side in size],
            feature_group_count=inputs,
            rngs=rngs,
        )
        self.point = nnx.Linear(inputs, outputs, rngs=rngs)
        self.norm = FixedBatchNorm(outputs)

    def __call__(
        self, x: Float[Array, "B H W C"], size: tuple[int, int]
    ) -> Float[Array, "B h w D"]:
        """Return weights for a map of ``size``."""
        pooled = adaptive_max(x, size)
        return jax.nn.sigmoid(self.norm(self.point(self.depth(pooled))))


class AudioHead(nnx.Module):
    """Waves in 16-bit numbers to embeddings, not normalised."""

    def __init__(self, config: AudioClipConfig, *, rngs: nnx.Rngs):
        self.spectrogram = Spectrogram(config)
        self.stem = ConvNorm(3, config.width, (7, 7), 2, rngs=rngs)
        stages, attentions, inputs = [], [], config.width
        for index, count in enumerate(config.layers):
            outputs = config.outputs(index)
            stride = (2, 2) if index else (1, 1)
            stages.append(
                bottlenecks(
                    (inputs, config.inner(index), outputs),
                    count,
                    ((1, 1), (3, 3)),
                    stride,
                    groups=config.groups,
                    rngs=rngs,
                )
            )
            attentions.append(Attention(inputs, outputs, _WINDOWS[index], rngs=rngs))
            inputs = outputs
        self.stages, self.attentions = nnx.List(stages), nnx.List(attentions)
        self.last_attention = Attention(inputs, inputs, _LAST_WINDOW, rngs=rngs)
        self.out = nnx.Linear(inputs, config.embed_dim, rngs=rngs)

    def decibels(self, wave: Float[Array, "B S"]) -> Float[Array, "B K T 3"]:
        """Return the spectrogram of a wave of 16-bit numbers."""
        return self.spectrogram(rescaled(wave.astype(jnp.float32)))

    def last_map(self, decibels: Float[Array, "B K T 3"]) -> Float[Array, "B h w D"]:
        """Return the map after the last stage, in the weights' dtype."""
        x = nnx.relu(self.stem(decibels.astype(self.out.kernel.dtype)))
        x = nnx.max_pool(x, (3, 3), (2, 2), padding=((1, 1), (1, 1)))
        for blocks, attention in zip(self.stages, self.attentions, strict=True):
            y = run_blocks(blocks, x)
            x = y * attention(x, (y.shape[1], y.shape[2]))
        return x

    def pool(self, last: Float[Array, "B h w D"]) -> Float[Array, "B D"]:
        """Return the mean of a map, weighed by its largest values."""
        weights = self.last_attention(last, (1, 1))[:, 0, 0]
        return jnp.mean(last, (1, 2)) * weights

    def __call__(self, wave: Float[Array, "B S"]) -> Float[Array, "B E"]:
        """Embed waves of 16-bit numbers; float32.

        Raises:
            ValueError: if there are no samples.
        """
        if not wave.shape[-1]:
            raise ValueError("wave must hold at least one sample, got none")
        return self.out(self.pool(self.last_map(self.decibels(wave)))).astype(
            jnp.float32
        )

"""Cnn14 of PANNs (Kong et al., arXiv 1912.10211): a plain convolutional network.

Upstream: hkchengrex/av-benchmark at 050a5cd, av_bench/panns/models.py (Cnn14, after
qiuqiangkong/audioset_tagging_cnn by way of haoheliu/audioldm_eval).
"""

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from avits_jax.metrics.cnn14.config import NUM_MELS, Cnn14Config
from avits_jax.metrics.sound import SoundFeatures
from avits_jax.nn.batch_norm import FixedBatchNorm
from avits_jax.nn.residual import ConvPair


class Cnn14(nnx.Module):
    """Log-mel spectrograms to features and logits of AudioSet's classes."""

    def __init__(self, config: Cnn14Config, *, rngs: nnx.Rngs):
        width = config.widths[-1]
        self.mel_norm = FixedBatchNorm(NUM_MELS)
        pairs = zip((1, *config.widths[:-1]), config.widths, strict=True)
        self.blocks = nnx.Dict(  # by the numbers that they have as published
            {str(i): ConvPair(*pair, rngs=rngs) for i, pair in enumerate(pairs, 1)}
        )
        self.features = nnx.Linear(width, width, rngs=rngs)
        self.logits = nnx.Linear(width, config.num_classes, rngs=rngs)

    def __call__(self, mel: Float[Array, "B T M"]) -> SoundFeatures:
        """Return features ``[B, widths[-1]]`` and logits ``[B, num_classes]``.

        Args:
            mel: log-mel spectrograms in dB, with `Cnn14Config.least_frames` or more.
        """
        x = self.mel_norm(mel)[..., None].astype(self.features.kernel.dtype)
        last = len(self.blocks)
        for number in range(1, last):
            x = nnx.avg_pool(self.blocks[str(number)](x), (2, 2), (2, 2))
        x = jnp.mean(self.blocks[str(last)](x), 2)
        x = jnp.max(x, 1) + jnp.mean(x, 1)
        features = jax.nn.relu(self.features(x))
        logits = self.logits(features)
        return SoundFeatures(features.astype(jnp.float32), logits.astype(jnp.float32))

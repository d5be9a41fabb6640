"""CAVP (Luo et al., Diff-Foley, arXiv 2306.17203): video and audio encoders.

SlowOnly, a ResNet-50 whose last two stages look at neighbouring frames, and Cnn14, four
features a second of either.

Upstream: luosiallen/Diff-Foley, which JavisVerse/JavisDiT at b505b37 has as
eval/javisbench/src/cavp/cavp_modules.py (ResNet3dSlowOnly, Cnn14) and cavp_model.py
(CAVP_Inference).
"""

import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from avits_jax.metrics.cavp.config import EXPANSION, CavpConfig
from avits_jax.nn.batch_norm import FixedBatchNorm
from avits_jax.nn.residual import ConvNorm, ConvPair, bottlenecks, run_blocks

LONGEST = 40
"""Frames that the video encoder sees at once, 10 s."""
_POOLS = ((2, 2), (2, 2), (2, 2), (2, 2), (1, 2), (1, 1))
_NORM_FLOOR = 1e-12


def _unit(x: Float[Array, "*B D"]) -> Float[Array, "*B D"]:
    """Scale to unit length, in float32."""
    x = x.astype(jnp.float32)
    length = jnp.linalg.norm(x, axis=-1, keepdims=True)
    return x / jnp.maximum(length, _NORM_FLOOR)


class VideoEncoder(nnx.Module):
    """Frames to one vector each."""

    def __init__(self, config: CavpConfig, *, rngs: nnx.Rngs):
        self.stem = ConvNorm(3, config.base, (1, 7, 7), (1, 2, 2), rngs=rngs)
        stages, inputs = [], config.base
        for index, count in enumerate(config.stage_blocks):
            inner = config.base * 2**index
            first = (3, 1, 1) if index >= 2 else (1, 1, 1)
            side = 2 if index else 1
            stages.append(
                bottlenecks(
                    (inputs, inner, EXPANSION * inner),
                    count,
                    (first, (1, 3, 3)),
                    (1, side, side),
                    rngs=rngs,
                )
            )
            inputs = EXPANSION * inner
        self.stages = nnx.List(stages)

    def __call__(self, video: Float[Array, "B T H W 3"]) -> Float[Array, "B T D"]:
        x = nnx.relu(self.stem(video))
        margins = ((0, 0), (1, 1), (1, 1))
        x = nnx.max_pool(x, (1, 3, 3), (1, 2, 2), padding=margins)
        for blocks in self.stages:
            x = run_blocks(blocks, x)
        return jnp.mean(x, (2, 3))


class AudioEncoder(nnx.Module):
    """Spectrograms to features, one for every sixteen columns."""

    def __init__(self, config: CavpConfig, *, rngs: nnx.Rngs):
        self.mel_norm = FixedBatchNorm(config.mel_bins)
        pairs = zip((1, *config.widths[:-1]), config.widths, strict=True)
        self.blocks = nnx.List([ConvPair(*pair, rngs=rngs) for pair in pairs])
        width = config.widths[-1]
        self.hidden = nnx.Linear(width, width, rngs=rngs)
        self.out = nnx.Linear(width, config.embed_dim, rngs=rngs)

    def __call__(self, mel: Float[Array, "B T M"]) -> Float[Array, "B t E"]:
        x = self.mel_norm(mel.astype(self.out.kernel.dtype))[..., None]
        for block, window in zip(self.blocks, _POOLS, strict=True):
            x = nnx.avg_pool(block(x), window, window)
        x = jnp.mean(x, 2)
        margin = ((1, 1),)
        largest = nnx.max_pool(x, (3,), padding=margin)
        x = largest + nnx.avg_pool(x, (3,), padding=margin)
        # The original applies the same layer twice.
        return self.out(nnx.relu(self.hidden(nnx.relu(self.hidden(x)))))


class Cavp(nnx.Module):
    """Videos and sounds to unit vectors, four a second."""

    def __init__(self, config: CavpConfig, *, rngs: nnx.Rngs):
        self.video = VideoEncoder(config, rngs=rngs)
        self.video_out = nnx.Linear(
            EXPANSION * config.base * 2 ** (len(config.stage_blocks) - 1),
            config.embed_dim,
            rngs=rngs,
        )
        self.audio = AudioEncoder(config, rngs=rngs)

    def video_features(self, video: Float[Array, "B T H W 3"]) -> Float[Array, "B T E"]:
        """Return a unit vector per frame, float32.

        A video is read 40 frames at a time, which do not see each other.

        Args:
            video: at 4 frames a second, in [0, 1].
        """
        video = video.astype(self.video_out.kernel.dtype)
        starts = range(0, video.shape[1], LONGEST)
        parts = [self.video(video[:, start : start + LONGEST]) for start in starts]
        return _unit(self.video_out(jnp.concatenate(parts, 1)))

    def sound_features(
        self, spectrogram: Float[Array, "B M T"]
    ) -> Float[Array, "B t E"]:
        """Return a unit vector for every sixteen columns of a spectrogram, float32."""
        return _unit(self.audio(jnp.swapaxes(spectrogram, 1, 2)))

"""Audiobox aesthetics (Tjandra et al., arXiv 2502.05139): four scores of a sound.

Each axis weighs WavLM's layers in its own way, averages them over time, and sends the
unit vector through a head of its own.

Upstream: facebookresearch/audiobox-aesthetics, src/audiobox_aesthetics/model/aes.py
(AesMultiOutput).
"""

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Bool, Float

from avits_jax.nn.stacking import stack_layers
from avits_jax.verifiers.audiobox.config import AXES, WINDOW, AudioboxConfig
from avits_jax.verifiers.audiobox.wavlm import Encoder, FirstConv

_EPSILON = 1e-5
_SHORTEST = 1e-12


class HeadLayer(nnx.Module):
    """A linear layer, but for the last with LayerNorm and exact GELU behind it."""

    def __init__(self, width: int, *, last: bool, rngs: nnx.Rngs):
        self.linear = nnx.Linear(width, 1 if last else width, rngs=rngs)
        self.norm = (
            None
            if last
            else nnx.LayerNorm(
                width, epsilon=_EPSILON, use_fast_variance=False, rngs=rngs
            )
        )

    def __call__(self, x: Float[Array, "B D"]) -> Float[Array, "B E"]:
        x = self.linear(x)
        if self.norm is None:
            return x
        return jax.nn.gelu(self.norm(x), approximate=False)


class Head(nnx.Module):
    """Layers from a unit vector to one number.

    Upstream: facebookresearch/audiobox-aesthetics,
    src/audiobox_aesthetics/model/utils.py (create_mlp_block).
    """

    def __init__(self, width: int, depth: int, *, rngs: nnx.Rngs):
        self.layers = nnx.List(
            [HeadLayer(width, last=i == depth - 1, rngs=rngs) for i in range(depth)]
        )

    def __call__(self, x: Float[Array, "B D"]) -> Float[Array, " B"]:
        for layer in self.layers:
            x = layer(x)
        return x[:, 0]


class Audiobox(nnx.Module):
    """A sound at 16 kHz to its scores, in units of what people's scores spread."""

    def __init__(self, config: AudioboxConfig, *, rngs: nnx.Rngs):
        encoder = config.encoder
        self.config = config
        self.first = FirstConv(encoder, rngs=rngs)
        self.encoder = Encoder(encoder, rngs=rngs)
        self.mix = nnx.Param(jnp.zeros((len(AXES), encoder.depth + 1)))
        self.heads = stack_layers(
            lambda rngs: Head(encoder.width, config.head_depth, rngs=rngs),
            len(AXES),
            rngs,
        )

    def __call__(
        self, sound: Float[Array, "B S"], window: int = WINDOW
    ) -> Float[Array, "B 4"]:
        """Score sounds of one length, as if silence filled the window behind them.

        Args:
            sound: ``[B, S]`` with S in 1 ... ``window`` samples at 16 kHz.
            window: samples of a window.

        Returns:
            float32 scores by axis as in `AXES`, before the scale of people's scores.

        Raises:
            ValueError: there is no sample, or there are more than a window has.
        """
        return self.axes(self.heard_frames(sound, window), None)

    def heard_frames(
        self, sound: Float[Array, "B S"], window: int
    ) -> Float[Array, "B T C"]:
        """Return the convolutions' frames that hold sound, the window's norm in them.

        Args:
            sound: samples at the start of a window.
            window: samples of the window.

        Raises:
            ValueError: there is no sample, or there are more than a window has.
        """
        sizes = self.config.encoder
        samples = sound.shape[-1]
        if not 1 <= samples <= window:
            raise ValueError(f"sound must have 1 to {window} samples, got {samples}")
        count = frames_with_sound(sizes.frames(window), samples, window)
        # As far as any output of the first convolution holds sound.
        ending = samples + sizes.conv_kernels[0] - 1
        length = min(window, max(ending, sizes.samples(count)))
        x = self.first(jnp.pad(sound, ((0, 0), (0, length - samples))), window)
        return self.encoder.frames(x[:, : sizes.samples(count, skip=1)])

    def axes(
        self, frames: Float[Array, "B T C"], mask: Bool[Array, "B T"] | None
    ) -> Float[Array, "B 4"]:
        """Score frames of the convolutions, those where ``mask`` is True.

        Args:
            frames: of the convolutions.
            mask: None where all frames hold sound.
        """

        def pooled(states: Float[Array, "B T D"]) -> Float[Array, "B D"]:
            states = states.astype(jnp.float32)
            if mask is None:
                return jnp.mean(states, 1)
            count = jnp.maximum(jnp.sum(mask, 1), 1)[:, None]
            return jnp.sum(states * mask[..., None], 1) / count

        # The mean over time of a sum of layers is the sum of their means.
        means = self.encoder.layers(frames, mask, pooled)
        shares = jax.nn.softmax(self.mix[...].astype(jnp.float32))
        mixed = jnp.einsum("al,lbd->abd", shares, means)
        length = jnp.linalg.norm(mixed, axis=-1, keepdims=True)
        graph, weights = nnx.split(self.heads)
        score = jax.vmap(lambda one, x: nnx.merge(graph, one)(x))
        return score(weights, mixed / jnp.maximum(length, _SHORTEST)).T


def frames_with_sound(total: int, num_samples: int, window: int) -> int:
    """Return how many of a window's frames count as sound; the rest is padding.

    The original cuts the window into as many stretches as there are frames, whole
    samples each, and takes a frame for padding if its stretch holds nothing else.

    Args:
        total: frames of a window.
        num_samples: samples of sound at its start.
        window: samples of the window.
    """
    return min(-(-num_samples // (window // total)), total)

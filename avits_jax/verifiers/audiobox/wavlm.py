"""WavLM (Chen et al., arXiv 2110.13900): a sound to one state per frame and layer.

Convolutions turn samples into frames of 20 ms, a transformer with gated relative
position biases reads these. The one norm among the convolutions runs over the whole
window, silence behind a short sound included. What it sees of that silence is known
without computing it, so that only the frames that hold sound are worked on.

Upstream: microsoft/unilm, wavlm/WavLM.py, as facebookresearch/audiobox-aesthetics has
it in src/audiobox_aesthetics/model/wavlm.py.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Bool, Float

from avits_jax.nn.embedding import Embedding
from avits_jax.nn.relative_positions import position_buckets
from avits_jax.nn.stacking import stack_layers
from avits_jax.verifiers.audiobox.config import WavLMConfig

_EPSILON = 1e-5
_GATES = 2  # each the sum of four numbers
_GATE_WIDTH = 8


def _norm(width: int, rngs: nnx.Rngs) -> nnx.LayerNorm:
    return nnx.LayerNorm(width, epsilon=_EPSILON, use_fast_variance=False, rngs=rngs)


def _gelu(x: Array) -> Array:
    return jax.nn.gelu(x, approximate=False)


class FirstConv(nnx.Module):
    """The convolution of the samples, each channel normalised over the whole window.

    Upstream: ConvFeatureExtractionModel, block 0 (GroupNorm with a group per channel).
    """

    def __init__(self, config: WavLMConfig, *, rngs: nnx.Rngs):
        width, kernel = config.conv_widths[0], config.conv_kernels[0]
        self.size, self.stride = kernel, config.conv_strides[0]
        self.conv = nnx.Conv(
            1,
            width,
            (kernel,),
            strides=(self.stride,),
            padding="VALID",
            use_bias=False,
            rngs=rngs,
        )
        self.scale = nnx.Param(jnp.ones((width,)))
        self.bias = nnx.Param(jnp.zeros((width,)))

    def __call__(self, wave: Float[Array, "B S"], window: int) -> Float[Array, "B T C"]:
        """Convolve and normalise the start of a window.

        Args:
            wave: samples; silence up to ``window`` follows, and so do zeros in ``wave``
                itself, if it is shorter, so that no output behind it holds sound.
            window: samples of the whole window.
        """
        x = self.conv(wave[..., None])
        total = (window - self.size) // self.stride + 1
        # Without a bias, silence gives zeros: no need to make them, only to count them.
        silent = total - x.shape[1]
        mean = jnp.sum(x, 1, keepdims=True) / total
        centred = x - mean
        squares = jnp.sum(jnp.square(centred), 1, keepdims=True)
        variance = (squares + silent * jnp.square(mean)) / total
        factor = jax.lax.rsqrt(variance + _EPSILON) * self.scale[...]
        return _gelu(centred * factor + self.bias[...])


class GatedAttention(nnx.Module):
    """Self-attention whose position biases are scaled for each query and head.

    ``bias * (a (b s - 1) + 2)``: gates a and b are made of the head's part of the
    layer's input, before any projection, and s is learned for each head.

    Upstream: MultiheadAttention with ``gru_rel_pos``.
    """

    def __init__(self, width: int, heads: int, *, rngs: nnx.Rngs):
        self.heads = heads
        self.q = nnx.Linear(width, width, rngs=rngs)
        self.k = nnx.Linear(width, width, rngs=rngs)
        self.v = nnx.Linear(width, width, rngs=rngs)
        self.out = nnx.Linear(width, width, rngs=rngs)
        self.gate = nnx.Linear(width // heads, _GATE_WIDTH, rngs=rngs)
        self.gate_scale = nnx.Param(jnp.ones((heads,)))

    def gates(self, x: Float[Array, "B T H d"]) -> Float[Array, "B H T"]:
        """Return the factors of the biases of each query, in float32."""
        sums = self.gate(x).astype(jnp.float32).reshape(*x.shape[:3], _GATES, -1)
        first, second = jnp.moveaxis(jax.nn.sigmoid(jnp.sum(sums, -1)), -1, 0)
        scale = self.gate_scale[...].astype(jnp.float32)
        return jnp.swapaxes(first * (second * scale - 1.0) + 2.0, 1, 2)

    def __call__(
        self,
        x: Float[Array, "B T D"],
        bias: Float[Array, "H T T"],
        mask: Bool[Array, "B T"] | None,
    ) -> Float[Array, "B T D"]:
        """Attend to the frames that ``mask`` holds True for, to all without one."""
        shape = (*x.shape[:2], self.heads, -1)
        q, k, v = (f(x).reshape(shape) for f in (self.q, self.k, self.v))
        gated = self.gates(x.reshape(shape))[..., None] * bias
        seen = None if mask is None else mask[:, None, None]
        # Not `attend`, which takes no bias.
        mixed = jax.nn.dot_product_attention(q, k, v, gated, seen)
        return self.out(mixed.reshape(x.shape))


class Block(nnx.Module):
    """Post-norm transformer block with exact GELU.

    Upstream: TransformerSentenceEncoderLayer.
    """

    def __init__(self, config: WavLMConfig, *, rngs: nnx.Rngs):
        width = config.width
        self.attention = GatedAttention(width, config.heads, rngs=rngs)
        self.norm1 = _norm(width, rngs)
        self.up = nnx.Linear(width, config.hidden, rngs=rngs)
        self.down = nnx.Linear(config.hidden, width, rngs=rngs)
        self.norm2 = _norm(width, rngs)

    def __call__(
        self,
        x: Float[Array, "B T D"],
        bias: Float[Array, "H T T"],
        mask: Bool[Array, "B T"] | None,
    ) -> Float[Array, "B T D"]:
        x = self.norm1(x + self.attention(x, bias, mask))
        return self.norm2(x + self.down(_gelu(self.up(x))))


class Encoder(nnx.Module):
    """All behind the first convolution.

    Upstream: ConvFeatureExtractionModel from block 1 on, TransformerEncoder.
    """

    def __init__(self, config: WavLMConfig, *, rngs: nnx.Rngs):
        self.config = config
        self.convs = nnx.List(
            [
                nnx.Conv(
                    config.conv_widths[i - 1],
                    config.conv_widths[i],
                    (config.conv_kernels[i],),
                    strides=(config.conv_strides[i],),
                    padding="VALID",
                    use_bias=False,
                    rngs=rngs,
                )
                for i in range(1, len(config.conv_widths))
            ]
        )
        inner, width = config.conv_widths[-1], config.width
        self.frame_norm = _norm(inner, rngs)
        # As in the original there is none where it would change no width.
        self.project = None if inner == width else nnx.Linear(inner, width, rngs=rngs)
        reach = config.position_kernel // 2
        self.positions = nnx.Conv(
            width,
            width,
            (config.position_kernel,),
            padding=((reach, config.position_kernel - 1 - reach),),
            feature_group_count=config.position_groups,
            rngs=rngs,
        )
        self.norm = _norm(width, rngs)
        self.bias = Embedding(config.num_buckets, config.heads, rngs=rngs)
        self.blocks = stack_layers(
            lambda rngs: Block(config, rngs=rngs), config.depth, rngs
        )

    def frames(self, x: Float[Array, "B t C"]) -> Float[Array, "B T C"]:
        """Send what the first convolution made through the others."""
        x = x.astype(self.positions.kernel.dtype)
        for conv in self.convs:
            x = _gelu(conv(x))
        return x

    def first_states(
        self, frames: Float[Array, "B T C"], mask: Bool[Array, "B T"] | None
    ) -> Float[Array, "B T D"]:
        """Return the input of the first block; frames that are masked count as 0."""
        x = self.frame_norm(frames)
        if self.project is not None:
            x = self.project(x)
        if mask is not None:
            x = jnp.where(mask[..., None], x, 0)
        return self.norm(x + _gelu(self.positions(x)))

    def position_biases(self, length: int) -> Float[Array, "H T T"]:
        """Return every head's biases, not gated yet, in float32."""
        config = self.config
        rows = position_buckets(
            length, config.num_buckets, config.max_distance, causal=False
        )
        table = self.bias(jnp.asarray(rows)).astype(jnp.float32)
        return jnp.transpose(table, (2, 0, 1))

    def layers(
        self,
        frames: Float[Array, "B T C"],
        mask: Bool[Array, "B T"] | None,
        keep: Callable[[Float[Array, "B T D"]], Array],
    ) -> Float[Array, "L ..."]:
        """Return what is kept of the first block's input and every block's output.

        Args:
            frames: of the convolutions.
            mask: True at frames that hold sound; None where all do.
            keep: what is kept of states, so that those of all layers need not be.
        """
        x = self.first_states(frames, mask)
        bias = self.position_biases(x.shape[1])
        graph, weights = nnx.split(self.blocks)

        def body(x: Array, one: Any) -> tuple[Array, Array]:
            x = nnx.merge(graph, one)(x, bias, mask)
            return x, keep(x)

        first = keep(x)
        _, rest = jax.lax.scan(body, x, weights)
        return jnp.concatenate([first[None], rest])

"""Mini's networks: two autoencoders and the joint audio-video flow transformer.

A clip is 16 video latents (one per frame) and 16 audio latents (one per frame's eighth
of a second). Latents live on a sphere of radius sqrt(dim): the encoders project onto it
and the decoders project back, so that small errors of the transformer are forgiven.
"""

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float, Int

from avits_jax.generators.mini.config import MiniConfig
from avits_jax.nn.conv import Conv
from avits_jax.nn.layers import Mlp, SelfAttention, TextEncoder, sinusoid
from avits_jax.nn.stacking import run_or_repeat, scan_layers

NUM_TOKENS = 16  # per modality: one per video frame
N_FFT = 512
HOP = 250
NUM_BINS = N_FFT // 2 + 1
HOPS_PER_TOKEN = 8
LEVEL_FEATURES = 128  # numbers that the noise level is embedded in
_FLOOR = 0.02  # magnitude below which a spectrogram bin counts as silent
_OFFSET, _SCALE = 3.9, 8.0


def to_sphere(x: Float[Array, "*B D"]) -> Float[Array, "*B D"]:
    """Scale each vector to unit root-mean-square."""
    return x * jax.lax.rsqrt(jnp.mean(x * x, -1, keepdims=True) + 1e-6)


def compress(magnitude: Float[Array, "*B K"]) -> Float[Array, "*B K"]:
    """Compress an STFT magnitude to roughly [0, 1] on a log scale; 0 is silence."""
    return (jnp.log(magnitude + _FLOOR) + _OFFSET) / _SCALE


def expand(level: Float[Array, "*B K"]) -> Float[Array, "*B K"]:
    """Undo `compress`, clipped at silence."""
    return jnp.maximum(jnp.exp(_SCALE * level - _OFFSET) - _FLOOR, 0.0)


def _conv(inputs: int, outputs: int, rngs: nnx.Rngs, size=3, stride=1, rank=2):
    return Conv(inputs, outputs, (size,) * rank, stride, rngs=rngs)


def _shuffle(x: Float[Array, "B H W C"], factor: int) -> Float[Array, "B h w c"]:
    """Trade channels for resolution."""
    b, h, w, c = x.shape
    x = x.reshape(b, h, w, factor, factor, c // factor**2)
    return x.transpose(0, 1, 3, 2, 4, 5).reshape(b, h * factor, w * factor, -1)


class VideoAutoencoder(nnx.Module):
    """One 32x32 frame to a short vector and back."""

    def __init__(self, config: MiniConfig, *, rngs: nnx.Rngs):
        c = config.video_channels
        self.inward = nnx.List(
            [
                _conv(3, c, rngs, size=4, stride=4),
                _conv(c, c, rngs),
                _conv(c, 2 * c, rngs, stride=2),
            ]
        )
        self.encode_out = nnx.Linear(16 * 2 * c, config.video_latent, rngs=rngs)
        self.decode_in = nnx.Linear(config.video_latent, 16 * 2 * c, rngs=rngs)
        self.widen = _conv(2 * c, 4 * c, rngs)
        self.outward = nnx.List([_conv(c, c, rngs), _conv(c, c, rngs)])
        self.paint = _conv(c, 48, rngs)

    def encode(self, frames: Float[Array, "B 32 32 3"]) -> Float[Array, "B D"]:
        """Encode frames in [0, 1] as latents on the sphere."""
        x = 2 * frames - 1
        for conv in self.inward:
            x = jax.nn.gelu(conv(x))
        return to_sphere(self.encode_out(x.reshape(len(x), -1)))

    def decode(self, latents: Float[Array, "B D"]) -> Float[Array, "B 32 32 3"]:
        """Decode latents to frames, not clipped to [0, 1]."""
        x = jax.nn.gelu(self.decode_in(to_sphere(latents)))
        x = x.reshape(len(x), 4, 4, -1)
        x = _shuffle(jax.nn.gelu(self.widen(x)), 2)
        for conv in self.outward:
            x = x + jax.nn.gelu(conv(x))
        return 0.5 + 0.5 * _shuffle(self.paint(x), 4)


class AudioAutoencoder(nnx.Module):
    """The log spectrogram of a clip to one short vector per video frame, and back."""

    def __init__(self, config: MiniConfig, *, rngs: nnx.Rngs):
        c, d = config.audio_channels, config.audio_latent
        self.channels = c
        self.bins_in = nnx.Linear(NUM_BINS, c, rngs=rngs)
        self.hops_in = nnx.Linear(HOPS_PER_TOKEN * c, 256, rngs=rngs)
        self.encode_out = nnx.Linear(256, d, rngs=rngs)
        self.decode_in = _conv(d, 256, rngs, rank=1)
        self.hops_out = nnx.Linear(256, HOPS_PER_TOKEN * c, rngs=rngs)
        self.smooth = _conv(c, 2 * c, rngs, rank=1)
        self.bins_out = nnx.Linear(2 * c, NUM_BINS, rngs=rngs)

    def encode(self, levels: Float[Array, "B T K"]) -> Float[Array, "B 16 D"]:
        """Encode a compressed spectrogram ``[B, 128, 257]`` on the sphere."""
        x = jax.nn.gelu(self.bins_in(levels))
        x = x.reshape(len(x), NUM_TOKENS, -1)
        return to_sphere(self.encode_out(jax.nn.gelu(self.hops_in(x))))

    def decode(self, latents: Float[Array, "B 16 D"]) -> Float[Array, "B T K"]:
        """Decode latents to a compressed spectrogram ``[B, 128, 257]``."""
        x = jax.nn.gelu(self.decode_in(to_sphere(latents)))
        x = jax.nn.gelu(self.hops_out(x))
        x = x.reshape(len(x), NUM_TOKENS * HOPS_PER_TOKEN, self.channels)
        return self.bins_out(jax.nn.gelu(self.smooth(x)))


class AdaptiveBlock(nnx.Module):
    """Transformer block whose norms are shifted, scaled and gated by the condition.

    The six modulation vectors come from one projection shared by all blocks plus a
    table of the block's own (PixArt-alpha's adaLN-single, arXiv 2310.00426).
    """

    def __init__(self, width: int, heads: int, *, rngs: nnx.Rngs):
        self.attention = SelfAttention(width, heads, rngs=rngs)
        self.mlp = Mlp(width, 4 * width, rngs=rngs)
        self.norm = nnx.LayerNorm(width, use_scale=False, use_bias=False, rngs=rngs)
        self.table = nnx.Param(
            jax.random.normal(rngs.params(), (6, width)) / width**0.5
        )

    def __call__(
        self, x: Float[Array, "B L D"], shared: Float[Array, "B 6 D"]
    ) -> Float[Array, "B L D"]:
        modulation = (shared + self.table[...])[:, :, None]
        shift1, scale1, gate1, shift2, scale2, gate2 = jnp.moveaxis(modulation, 1, 0)
        x = x + gate1 * self.attention(self.norm(x) * (1 + scale1) + shift1)
        return x + gate2 * self.mlp(self.norm(x) * (1 + scale2) + shift2)


class MiniTransformer(nnx.Module):
    """Joint audio-video flow transformer that predicts the clean latents."""

    def __init__(self, config: MiniConfig, *, rngs: nnx.Rngs):
        width = config.width
        self.video_in = nnx.Linear(config.video_latent, width, rngs=rngs)
        self.audio_in = nnx.Linear(config.audio_latent, width, rngs=rngs)
        self.position = nnx.Param(
            0.5 * jax.random.normal(rngs.params(), (2 * NUM_TOKENS, width))
        )
        self.text = TextEncoder(
            config.vocab_size,
            config.max_words,
            config.text_width,
            config.text_depth,
            rngs=rngs,
        )
        self.null_text = nnx.Param(jnp.zeros((config.text_width,)))
        self.condition = nnx.Sequential(
            nnx.Linear(config.text_width + LEVEL_FEATURES, width, rngs=rngs),
            jax.nn.silu,
            nnx.Linear(width, width, rngs=rngs),
            jax.nn.silu,
        )
        self.modulate = nnx.Linear(width, 6 * width, rngs=rngs)

        @nnx.vmap
        def stack(keys):
            return AdaptiveBlock(width, config.heads, rngs=nnx.Rngs(keys))

        self.blocks = stack(jax.random.split(rngs.params(), config.depth))
        self.norm = nnx.LayerNorm(width, rngs=rngs)
        self.video_out = nnx.Linear(width, config.video_latent, rngs=rngs)
        self.audio_out = nnx.Linear(width, config.audio_latent, rngs=rngs)

    def encode_text(self, words: Int[Array, "B L"]) -> Float[Array, "B D"]:
        """Encode word ids as the condition; padding alone gives the null one."""
        empty = jnp.all(words == 0, 1, keepdims=True)
        return jnp.where(empty, self.null_text[...], self.text(words))

    def __call__(
        self,
        video: Float[Array, "B 16 Dv"],
        audio: Float[Array, "B 16 Da"],
        sigma: Float[Array, " B"],
        text: Float[Array, "B D"],
        added: Float[Array, "B 32 W"] | None = None,
    ) -> tuple[tuple[Float[Array, "B 16 Dv"], Float[Array, "B 16 Da"]], Array]:
        """Predict clean video and audio latents of noisy ones at ``sigma``.

        Also return what the blocks added to the tokens; give it as ``added`` to have it
        added again instead, see `nn.stacking.run_or_repeat`.
        """
        tokens = jnp.concatenate([self.video_in(video), self.audio_in(audio)], 1)
        tokens = tokens + self.position[...]

        def blocks(tokens: Array) -> Array:
            level = sinusoid(sigma, LEVEL_FEATURES)
            condition = self.condition(jnp.concatenate([level, text], -1))
            shared = self.modulate(condition).reshape(len(video), 6, -1)
            return scan_layers(self.blocks, tokens, lambda block, x: block(x, shared))

        tokens, added = run_or_repeat(blocks, tokens, added)
        video_tokens, audio_tokens = jnp.split(self.norm(tokens), 2, axis=1)
        return (self.video_out(video_tokens), self.audio_out(audio_tokens)), added

"""Mini's verifier networks: small encoders for frames, sound and words."""

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float, Int

from avits_jax.nn.audio import mel_filters, stft
from avits_jax.nn.conv import Conv
from avits_jax.nn.layers import Block, TextEncoder
from avits_jax.verifiers.mini.config import MiniVerifierConfig

N_FFT = 512
HOP = 250
NUM_MELS = 40
SAMPLE_RATE = 16_000
VOCAB = 128
MAX_WORDS = 24
NUM_STEPS = 16


def log_mel(audio: Float[Array, "*B S"]) -> Float[Array, "*B T 40"]:
    """Return the log-mel spectrogram of 16 kHz mono sound at 16 ms, about [0, 1].

    Silence is 0.
    """
    power = jnp.abs(stft(audio, N_FFT, HOP))
    mel = power @ mel_filters(NUM_MELS, N_FFT, SAMPLE_RATE)
    return (jnp.log(mel + 0.02) + 3.9) / 8.0


class TimeStack(nnx.Module):
    """Transformer blocks over the 16 time steps of a clip."""

    def __init__(self, config: MiniVerifierConfig, *, rngs: nnx.Rngs):
        width = config.width
        self.position = nnx.Param(
            0.1 * jax.random.normal(rngs.params(), (NUM_STEPS, width))
        )
        self.blocks = nnx.List(
            [Block(width, config.heads, rngs=rngs) for _ in range(config.depth)]
        )
        self.norm = nnx.LayerNorm(width, rngs=rngs)

    def __call__(self, x: Float[Array, "B T D"]) -> Float[Array, "B T D"]:
        x = x + self.position[...]
        for block in self.blocks:
            x = block(x)
        return self.norm(x)


class VideoEncoder(nnx.Module):
    """Frames to one vector each."""

    def __init__(self, config: MiniVerifierConfig, *, rngs: nnx.Rngs):
        def conv(inputs, outputs, size, stride):
            return Conv(inputs, outputs, (size, size), stride, rngs=rngs)

        first, second = config.channels
        self.convs = nnx.List([conv(3, first, 4, 4), conv(first, second, 3, 2)])
        self.out = nnx.Linear(16 * second, config.width, rngs=rngs)

    def __call__(self, video: Float[Array, "B F 32 32 3"]) -> Float[Array, "B F D"]:
        x = 2 * video.reshape(-1, *video.shape[2:]) - 1
        for conv in self.convs:
            x = jax.nn.gelu(conv(x))
        return self.out(x.reshape(len(video), NUM_STEPS, -1))


class AudioEncoder(nnx.Module):
    """Log-mel spectrogram to one vector per eighth of a second."""

    def __init__(self, config: MiniVerifierConfig, *, rngs: nnx.Rngs):
        size = config.channels[0]
        self.bands = nnx.Linear(NUM_MELS, size, rngs=rngs)
        self.convs = nnx.List([Conv(size, size, (5,), 2, rngs=rngs) for _ in range(2)])
        self.out = nnx.Linear(2 * size, config.width, rngs=rngs)

    def __call__(self, mel: Float[Array, "B T 40"]) -> Float[Array, "B 16 D"]:
        x = jax.nn.gelu(self.bands(mel))
        for conv in self.convs:
            x = jax.nn.gelu(conv(x))
        return self.out(x.reshape(len(mel), NUM_STEPS, -1))


class TextMatcher(nnx.Module):
    """Does a clip (its frames, or its sound) show what the words say?

    Both sides become unit vectors; the logit of a match is
    ``scale * cosine + bias``, trained with the pairwise sigmoid loss of SigLIP
    (arXiv 2303.15343).
    """

    def __init__(
        self,
        tower: type[VideoEncoder] | type[AudioEncoder],
        config: MiniVerifierConfig,
        *,
        rngs: nnx.Rngs,
    ):
        self.tower = tower(config, rngs=rngs)
        self.time = TimeStack(config, rngs=rngs)
        self.media_out = nnx.Linear(config.width, config.embed, rngs=rngs)
        self.text = TextEncoder(VOCAB, MAX_WORDS, config.text_width, 1, rngs=rngs)
        self.text_out = nnx.Linear(config.text_width, config.embed, rngs=rngs)
        self.scale = nnx.Param(jnp.log(10.0))
        self.bias = nnx.Param(jnp.float32(-5.0))

    def embed_media(self, x: Array) -> Float[Array, "B E"]:
        """Embed frames ``[B, 16, 32, 32, 3]`` or log-mel ``[B, 128, 40]``.

        Vectors have unit length.
        """
        return _unit(self.media_out(jnp.mean(self.time(self.tower(x)), 1)))

    def embed_text(self, words: Int[Array, "B L"]) -> Float[Array, "B E"]:
        """Embed word ids at unit length."""
        return _unit(self.text_out(self.text(words)))

    def logit(self, cosine: Array) -> Array:
        """Return the log-odds of a match from the cosine similarity."""
        return jnp.exp(self.scale[...]) * cosine + self.bias[...]


class ClipReader(nnx.Module):
    """Picture and sound, read together, to one number."""

    def __init__(self, config: MiniVerifierConfig, *, rngs: nnx.Rngs):
        width = config.width
        self.video = VideoEncoder(config, rngs=rngs)
        self.audio = AudioEncoder(config, rngs=rngs)
        self.mix = nnx.Linear(2 * width, width, rngs=rngs)
        self.time = TimeStack(config, rngs=rngs)
        self.out = nnx.Linear(width, 1, rngs=rngs)

    def __call__(
        self, video: Float[Array, "B F 32 32 3"], mel: Float[Array, "B T 40"]
    ) -> Float[Array, " B"]:
        """Return a logit: of picture and sound in step, or of a good opinion."""
        x = jnp.concatenate([self.video(video), self.audio(mel)], -1)
        x = self.time(jax.nn.gelu(self.mix(x)))
        return self.out(jnp.mean(x, 1))[:, 0]


def _unit(x: Float[Array, "B E"]) -> Float[Array, "B E"]:
    return x * jax.lax.rsqrt(jnp.sum(x * x, -1, keepdims=True) + 1e-6)

"""CLAP (Wu et al., arXiv 2211.06687): text and audio encoders with projections.

Upstream: huggingface/transformers, src/transformers/models/clap/modeling_clap.py
(ClapModel), after LAION-AI/CLAP.
"""

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Bool, Float, Int

from avits_jax.verifiers.clap.audio_encoder import AudioEncoder
from avits_jax.verifiers.clap.config import ClapConfig
from avits_jax.verifiers.clap.text_encoder import TextEncoder


class Projection(nnx.Module):
    """Two linear layers with ReLU between them, then unit length in float32."""

    def __init__(self, width: int, embed_dim: int, *, rngs: nnx.Rngs):
        self.first = nnx.Linear(width, embed_dim, rngs=rngs)
        self.second = nnx.Linear(embed_dim, embed_dim, rngs=rngs)

    def __call__(self, x: Float[Array, "B D"]) -> Float[Array, "B E"]:
        x = self.second(jax.nn.relu(self.first(x))).astype(jnp.float32)
        return x / jnp.linalg.norm(x, axis=-1, keepdims=True)


class Clap(nnx.Module):
    """Texts and sounds to unit vectors whose dot product is their agreement."""

    def __init__(self, config: ClapConfig, *, rngs: nnx.Rngs):
        self.text = TextEncoder(config.text, rngs=rngs)
        self.audio = AudioEncoder(config.audio, rngs=rngs)
        self.text_out = Projection(config.text.width, config.embed_dim, rngs=rngs)
        self.audio_out = Projection(config.audio.out_width, config.embed_dim, rngs=rngs)

    def embed_text(
        self, ids: Int[Array, "B L"], mask: Bool[Array, "B L"]
    ) -> Float[Array, "B E"]:
        """Embed token ids at unit length; ``mask`` is False on padding."""
        return self.text_out(self.text(ids, mask))

    def embed_audio(self, mel: Float[Array, "B T M"]) -> Float[Array, "B E"]:
        """Embed log-mel spectrograms in dB at unit length."""
        return self.audio_out(self.audio(mel))

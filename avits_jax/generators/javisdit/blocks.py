"""The blocks of VASTDiT3: modulated self-attention, prior attention, exchange.

Tokens are ``[B, T, S, D]``: video has T latent frames of S patches, audio T time steps
of S mel bands. Norms, softmax, modulation and gates are computed in float32; matrix
products in the dtype of the tokens.

Upstream: JavisVerse/JavisDiT at b505b37, javisdit/models/layers/blocks.py
(BiMultiHeadAttention, T2IFinalLayer),
javisdit/models/stdit/stdit3.py (STDiT3Block, here `SelfBlock`) and
javisdit/models/stdit/vastdit3.py (CrossSTDiT3Block, here `PriorBlock`, and
CrossModalityBiAttentionBlock, here `Exchange`).
"""

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Bool, Float

from avits_jax.generators.javisdit.attention import (
    EPSILON,
    Heads,
    KeyValue,
    Tokens,
    cross_attend,
    self_attend,
)
from avits_jax.generators.javisdit.config import TransformerConfig
from avits_jax.nn.vectors import rms_normalise

AudioTokens = Float[Array, "B Ta Sa D"]  # beside video tokens
# Shift, scale and gate rows for every sample, and for every frame or for all alike.
Modulation = Float[Array, "B #T M D"]
# One vector for every sample, and for every frame or for all alike.
Condition = Float[Array, "B #T D"]


def normalise(x: Float[Array, "*B D"]) -> Float[Array, "*B D"]:
    """Apply LayerNorm without weights, in and to float32."""
    x = x.astype(jnp.float32)
    return rms_normalise(x - jnp.mean(x, -1, keepdims=True), EPSILON)


def modulate(x: Tokens, rows: Modulation, first: int) -> Tokens:
    """Normalise, then scale and shift by rows ``first`` (shift) and ``first + 1``."""
    shift, scale = rows[:, :, None, first], rows[:, :, None, first + 1]
    return (normalise(x) * (1 + scale) + shift).astype(x.dtype)


def add_gated(x: Tokens, update: Tokens, gate: Condition) -> Tokens:
    """Add a gated update in float32: ``x + gate update``."""
    wide = gate[:, :, None] * update.astype(jnp.float32)
    return (x.astype(jnp.float32) + wide).astype(x.dtype)


class HeadNorm(nnx.Module):
    """Weights of an RMS norm over a head, the same for all heads."""

    def __init__(self, width: int):
        self.scale = nnx.Param(jnp.ones((width,)))


class Mlp(nnx.Module):
    """Two linear layers with tanh-approximated GELU between them."""

    def __init__(self, inward: int, hidden: int, outward: int, *, rngs: nnx.Rngs):
        self.up = nnx.Linear(inward, hidden, rngs=rngs)
        self.down = nnx.Linear(hidden, outward, rngs=rngs)

    def __call__(self, x: Float[Array, "*B D"]) -> Float[Array, "*B E"]:
        return self.down(jax.nn.gelu(self.up(x), approximate=True))


class CrossAttention(nnx.Module):
    """Attention of tokens to a context whose keys and values are made beforehand."""

    def __init__(self, width: int, heads: int, *, rngs: nnx.Rngs):
        self.heads = heads
        self.query = nnx.Linear(width, width, rngs=rngs)
        self.key_value = nnx.Linear(width, 2 * width, rngs=rngs)
        self.out = nnx.Linear(width, width, rngs=rngs)

    def prepare(self, context: Float[Array, "R K D"]) -> KeyValue:
        """Return keys and values of a context; no denoising step changes them."""
        both = self.key_value(context)
        both = both.reshape(*both.shape[:2], 2, self.heads, -1)
        return KeyValue(both[:, :, 0], both[:, :, 1])

    def __call__(
        self,
        x: Tokens,
        context: KeyValue,
        mask: Bool[Array, "R K"] | None = None,
        *,
        shared: bool = False,
    ) -> Tokens:
        """Attend to a context, see `attention.cross_attend`."""
        return self.out(cross_attend(self.query(x), context, mask, shared=shared))


def _table(rows: int, width: int, rngs: nnx.Rngs) -> nnx.Param:
    return nnx.Param(jax.random.normal(rngs.params(), (rows, width)) / width**0.5)


class SelfBlock(nnx.Module):
    """Self-attention within frames or along time, text attention, MLP.

    Text attention acts on the bare residual stream: no norm, no modulation, no gate.
    """

    def __init__(self, config: TransformerConfig, temporal: bool, *, rngs: nnx.Rngs):
        width = config.width
        self.temporal = temporal
        self.heads = config.heads
        self.table = _table(6, width, rngs)
        self.qkv = nnx.Linear(width, 3 * width, rngs=rngs)
        self.query_norm = HeadNorm(config.head_width)
        self.key_norm = HeadNorm(config.head_width)
        self.out = nnx.Linear(width, width, rngs=rngs)
        self.text = CrossAttention(width, config.heads, rngs=rngs)
        self.mlp = Mlp(width, config.mlp_width, width, rngs=rngs)

    def _attend(
        self, x: Tokens, rotary: Float[Array, " P"], seen: int | None
    ) -> Tokens:
        scales = self.query_norm.scale[...], self.key_norm.scale[...]
        heads = Heads(*scales, rotary if self.temporal else None)
        return self_attend(x, self.qkv, self.out, heads, seen)

    def __call__(
        self,
        x: Tokens,
        shared: Modulation,
        rotary: Float[Array, " P"],
        text: KeyValue,
        text_mask: Bool[Array, "R K"] | None,
        seen: int | None = None,
    ) -> Tokens:
        """Apply the block.

        ``shared`` holds shift, scale and gate of the attention, then of the MLP; of
        ``seen`` see `attention.self_attend`.
        """
        rows = self.table[...].astype(jnp.float32) + shared
        mixed = self._attend(modulate(x, rows, 0), rotary, seen)
        x = add_gated(x, mixed, rows[:, :, 2])
        x = x + self.text(x, text, text_mask)
        return add_gated(x, self.mlp(modulate(x, rows, 3)), rows[:, :, 5])


class PriorBlock(nnx.Module):
    """Attention to the spatial prior, to the temporal prior, and an MLP."""

    def __init__(self, config: TransformerConfig, *, rngs: nnx.Rngs):
        width = config.width
        self.table = _table(9, width, rngs)
        self.spatial = CrossAttention(width, config.heads, rngs=rngs)
        self.temporal = CrossAttention(width, config.heads, rngs=rngs)
        self.mlp = Mlp(width, config.mlp_width, width, rngs=rngs)

    def __call__(
        self, x: Tokens, shared: Modulation, spatial: KeyValue, temporal: KeyValue
    ) -> Tokens:
        rows = self.table[...].astype(jnp.float32) + shared
        where = self.spatial(modulate(x, rows, 0), spatial, shared=True)
        x = add_gated(x, where, rows[:, :, 2])
        when = self.temporal(modulate(x, rows, 3), temporal, shared=True)
        x = add_gated(x, when, rows[:, :, 5])
        return add_gated(x, self.mlp(modulate(x, rows, 6)), rows[:, :, 8])


class Exchange(nnx.Module):
    """Attention of video to audio and of audio to video at once.

    One projection of each stream is query in one direction and key in the other.
    """

    def __init__(self, config: TransformerConfig, *, rngs: nnx.Rngs):
        width, inner = config.width, config.width // 2
        self.heads = config.heads // 2
        self.video_match = nnx.Linear(width, inner, rngs=rngs)
        self.audio_match = nnx.Linear(width, inner, rngs=rngs)
        self.video_value = nnx.Linear(width, inner, rngs=rngs)
        self.audio_value = nnx.Linear(width, inner, rngs=rngs)
        self.video_out = nnx.Linear(inner, width, rngs=rngs)
        self.audio_out = nnx.Linear(inner, width, rngs=rngs)
        self.video_gain = nnx.Param(jnp.zeros((width,)))
        self.audio_gain = nnx.Param(jnp.zeros((width,)))

    def _heads(
        self, x: Float[Array, "B T S D"], seen: int | None = None
    ) -> Float[Array, "B L H d"]:
        x = x[:, :, :seen]
        return x.reshape(len(x), -1, self.heads, x.shape[-1] // self.heads)

    def _update(self, x: Tokens, mixed: Array, out: nnx.Linear, gain: nnx.Param):
        update = out(mixed).astype(jnp.float32)
        return (x + gain[...].astype(jnp.float32) * update).astype(x.dtype)

    def __call__(
        self, video: Tokens, audio: AudioTokens, seen: int | None = None
    ) -> tuple[Tokens, AudioTokens]:
        """Let the streams look at each other, at the first ``seen`` tokens of a frame.

        None shows all of the video's tokens; the sound's are always shown.
        """
        v = normalise(video).astype(video.dtype)
        a = normalise(audio).astype(audio.dtype)
        match_v, match_a = self.video_match(v), self.audio_match(a)
        of_video = KeyValue(
            self._heads(match_v, seen), self._heads(self.video_value(v), seen)
        )
        of_audio = KeyValue(self._heads(match_a), self._heads(self.audio_value(a)))
        to_video = cross_attend(match_v, of_audio)
        to_audio = cross_attend(match_a, of_video)
        return (
            self._update(video, to_video, self.video_out, self.video_gain),
            self._update(audio, to_audio, self.audio_out, self.audio_gain),
        )


class FinalLayer(nnx.Module):
    """Modulated norm and linear layer from tokens to patches."""

    def __init__(self, width: int, features: int, *, rngs: nnx.Rngs):
        self.table = _table(2, width, rngs)
        exact = jax.lax.Precision.HIGHEST
        self.linear = nnx.Linear(width, features, precision=exact, rngs=rngs)

    def __call__(
        self,
        x: Tokens,
        now: Condition,
        clean: Condition,
        mask: Bool[Array, "B T"] | None,
    ) -> Float[Array, "B T S F"]:
        """Turn tokens into patches; frames not in ``mask`` have timestep 0.

        As in the original they have been modulated at the present timestep before.
        """
        table = self.table[...].astype(jnp.float32)
        out = modulate(x, table + now[:, :, None], 0)
        if mask is not None:
            again = modulate(out, table + clean[:, :, None], 0)
            out = jnp.where(mask[:, :, None, None], out, again)
        # Tokens become latents here, which are float32.
        return self.linear(out.astype(jnp.float32))

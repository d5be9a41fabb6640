"""The blocks of VASTDiT3: modulated self-attention, prior attention, exchange.

Tokens are ``[B, T, S, D]``: video has T latent frames of S patches, audio T time steps
of S mel bands. Norms, softmax, modulation and gates are computed in float32; matrix
products in the dtype of the tokens.

Upstream: JavisVerse/JavisDiT at b505b37, javisdit/models/layers/blocks.py
(LlamaRMSNorm, MultiHeadCrossAttention, BiMultiHeadAttention, T2IFinalLayer),
javisdit/models/stdit/stdit3.py (STDiT3Block, here `SelfBlock`) and
javisdit/models/stdit/vastdit3.py (CrossSTDiT3Block, here `PriorBlock`, and
CrossModalityBiAttentionBlock, here `Exchange`).
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Bool, Float

from avits_jax.generators.javisdit.config import TransformerConfig
from avits_jax.nn.attention import attend, count_seen
from avits_jax.nn.positions import rotate_pairs
from avits_jax.nn.vectors import rms_normalise

Tokens = Float[Array, "B T S D"]
AudioTokens = Float[Array, "B Ta Sa D"]  # beside video tokens
# Shift, scale and gate rows for every sample, and for every frame or for all alike.
Modulation = Float[Array, "B #T M D"]
# One vector for every sample, and for every frame or for all alike.
Condition = Float[Array, "B #T D"]
_EPSILON = 1e-6


class KeyValue(NamedTuple):
    """Keys and values of a context.

    Attributes:
        key: ``[R, K, H, D]``; rows as in `cross_attend` or `shared_attend`.
        value: the same shape.
    """

    key: Float[Array, "R K H D"]
    value: Float[Array, "R K H D"]


def normalise(x: Float[Array, "*B D"]) -> Float[Array, "*B D"]:
    """Apply LayerNorm without weights, in and to float32."""
    x = x.astype(jnp.float32)
    return rms_normalise(x - jnp.mean(x, -1, keepdims=True), _EPSILON)


def modulate(x: Tokens, rows: Modulation, first: int) -> Tokens:
    """Normalise, then scale and shift by rows ``first`` (shift) and ``first + 1``."""
    shift, scale = rows[:, :, None, first], rows[:, :, None, first + 1]
    return (normalise(x) * (1 + scale) + shift).astype(x.dtype)


def add_gated(x: Tokens, update: Tokens, gate: Condition) -> Tokens:
    """Add a gated update in float32: ``x + gate update``."""
    wide = gate[:, :, None] * update.astype(jnp.float32)
    return (x.astype(jnp.float32) + wide).astype(x.dtype)


def cross_attend(
    query: Float[Array, "B Q H D"],
    context: KeyValue,
    mask: Bool[Array, "R K"] | None = None,
) -> Float[Array, "B Q H D"]:
    """Attend to a context of R rows, which may be fewer than the samples.

    Sample b looks at row ``b % R``. Of a row only the tokens in ``mask`` are looked at,
    which lead it.

    Raises:
        ValueError: R does not divide the number of samples.
    """
    batch, rows = len(query), len(context.key)
    if batch % rows:
        raise ValueError(
            f"context has {rows} rows, which do not divide {batch} samples"
        )
    lengths = None if mask is None else count_seen(mask)
    if rows < batch:
        again = batch // rows
        context = jax.tree.map(lambda a: jnp.tile(a, (again, 1, 1, 1)), context)
        lengths = None if lengths is None else jnp.tile(lengths, again)
    return attend(query, *context, lengths)


def shared_attend(
    query: Float[Array, "B Q H D"], context: KeyValue
) -> Float[Array, "B Q H D"]:
    """Attend to a context of R rows, each shared by ``B / R`` neighbouring samples.

    The queries of neighbours look at their row as one sequence: no key is repeated.

    Raises:
        ValueError: R does not divide the number of samples.
    """
    batch, rows = len(query), len(context.key)
    if batch % rows:
        raise ValueError(
            f"context has {rows} rows, which do not divide {batch} samples"
        )
    folded = query.reshape(rows, -1, *query.shape[2:])
    return attend(folded, *context).reshape(query.shape)


class HeadNorm(nnx.Module):
    """RMS norm over a head, the same weights for all heads."""

    def __init__(self, width: int):
        self.scale = nnx.Param(jnp.ones((width,)))

    def __call__(self, x: Float[Array, "*B D"]) -> Float[Array, "*B D"]:
        wide = x.astype(jnp.float32)
        mean = jnp.mean(jnp.square(wide), -1, keepdims=True)
        unit = (wide * jax.lax.rsqrt(mean + _EPSILON)).astype(x.dtype)
        return unit * self.scale[...].astype(x.dtype)


def normalise_heads(
    query: Float[Array, "B L H D"],
    key: Float[Array, "B L H D"],
    query_norm: HeadNorm,
    key_norm: HeadNorm,
) -> tuple[Float[Array, "B L H D"], Float[Array, "B L H D"]]:
    """Apply the norms, on TPUs to arrays that lie with their heads first in memory.

    Attention wants them so there. Without the barrier TPUs turn the norms' float32
    around, several times over, instead of the narrower arrays once.
    """

    def turned(query: Array, key: Array) -> tuple[Array, Array]:
        heads_first = (jnp.swapaxes(query, 1, 2), jnp.swapaxes(key, 1, 2))
        query, key = plain(*jax.lax.optimization_barrier(heads_first))
        return jnp.swapaxes(query, 1, 2), jnp.swapaxes(key, 1, 2)

    def plain(query: Array, key: Array) -> tuple[Array, Array]:
        return query_norm(query), key_norm(key)

    return jax.lax.platform_dependent(query, key, tpu=turned, default=plain)


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

    def _queries(self, x: Tokens) -> Float[Array, "B L H d"]:
        query = self.query(x)
        return query.reshape(len(x), -1, self.heads, x.shape[-1] // self.heads)

    def __call__(
        self, x: Tokens, context: KeyValue, mask: Bool[Array, "R K"] | None = None
    ) -> Tokens:
        """Attend to a context, see `cross_attend`."""
        mixed = cross_attend(self._queries(x), context, mask)
        return self.out(mixed.reshape(x.shape))

    def to_shared(self, x: Tokens, context: KeyValue) -> Tokens:
        """Attend to a shared context, see `shared_attend`."""
        mixed = shared_attend(self._queries(x), context)
        return self.out(mixed.reshape(x.shape))


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

    def _attend(self, x: Tokens, rotary: Float[Array, " P"]) -> Tokens:
        if self.temporal:
            x = jnp.swapaxes(x, 1, 2)
        shape = (-1, x.shape[2], self.heads, x.shape[3] // self.heads)
        query, key, value = (
            part.reshape(shape) for part in jnp.split(self.qkv(x), 3, axis=-1)
        )
        query, key = normalise_heads(query, key, self.query_norm, self.key_norm)
        if self.temporal:
            query, key = rotate_pairs(query, rotary), rotate_pairs(key, rotary)
        mixed = self.out(attend(query, key, value).reshape(x.shape))
        return jnp.swapaxes(mixed, 1, 2) if self.temporal else mixed

    def __call__(
        self,
        x: Tokens,
        shared: Modulation,
        rotary: Float[Array, " P"],
        text: KeyValue,
        text_mask: Bool[Array, "R K"] | None,
    ) -> Tokens:
        """Apply the block.

        ``shared`` holds shift, scale and gate of the attention, then of the MLP.
        """
        rows = self.table[...].astype(jnp.float32) + shared
        x = add_gated(x, self._attend(modulate(x, rows, 0), rotary), rows[:, :, 2])
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
        where = self.spatial.to_shared(modulate(x, rows, 0), spatial)
        x = add_gated(x, where, rows[:, :, 2])
        when = self.temporal.to_shared(modulate(x, rows, 3), temporal)
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

    def _heads(self, x: Float[Array, "B T S D"]) -> Float[Array, "B L H d"]:
        return x.reshape(len(x), -1, self.heads, x.shape[-1] // self.heads)

    def _update(self, x: Tokens, mixed: Array, out: nnx.Linear, gain: nnx.Param):
        update = out(mixed.reshape(*x.shape[:3], -1)).astype(jnp.float32)
        return (x + gain[...].astype(jnp.float32) * update).astype(x.dtype)

    def __call__(self, video: Tokens, audio: AudioTokens) -> tuple[Tokens, AudioTokens]:
        v = normalise(video).astype(video.dtype)
        a = normalise(audio).astype(audio.dtype)
        match_v = self._heads(self.video_match(v))
        match_a = self._heads(self.audio_match(a))
        to_video = attend(match_v, match_a, self._heads(self.audio_value(a)))
        to_audio = attend(match_a, match_v, self._heads(self.video_value(v)))
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

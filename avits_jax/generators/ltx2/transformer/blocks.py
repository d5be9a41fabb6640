"""The blocks of the transformer.

Both streams do the same things side by side: attend to themselves, to the text, to each
other, and pass an MLP. Every part is normed and modulated before and gated after.

Upstream: huggingface/diffusers 0.42.1, models/transformers/transformer_ltx2.py
(LTX2VideoTransformerBlock).
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Bool, Float, Int

from avits_jax.generators.ltx2.streams import Streams
from avits_jax.generators.ltx2.transformer.branches import Rows
from avits_jax.generators.ltx2.transformer.config import TransformerConfig
from avits_jax.generators.ltx2.transformer.layers import (
    Attention,
    KeyValue,
    Mlp,
)
from avits_jax.generators.ltx2.transformer.rotary import Rotary, Tables
from avits_jax.nn.vectors import rms_normalise

Tokens = Float[Array, "R T D"]
# Rows of the batch or one for all, then tokens or one for all.
PerToken = Float[Array, "S #T D"]
_MLP_RATIO = 4
# Rows of the table of attention between streams, of the direction named.
_TO_VIDEO, _TO_AUDIO, _GATE = 0, 2, 4


class Condition(NamedTuple):
    """What noise levels say to one stream, float32; S is the rows of the batch or 1.

    Attributes:
        rows: ``[S, K, M, D]`` shift, scale and gate of self-attention, MLP and text, of
            K different levels.
        embedded: ``[S, K, D]`` the levels that they are made of.
        level_of: ``[T]`` which of the K levels a token has; None where K is 1.
        across: ``[S, 5, D]`` scale and shift towards the picture, towards the sound,
            and the gate, of attention between the streams.
        text: ``[S, 2, D]`` shift and scale of the text; None without.
    """

    rows: Float[Array, "S K M D"]
    embedded: Float[Array, "S K D"]
    level_of: Int[Array, " T"] | None
    across: Float[Array, "S 5 D"]
    text: Float[Array, "S 2 D"] | None

    def per_token(self, values: Float[Array, "S K D"]) -> PerToken:
        """Give every token its level's value."""
        found = values[:, :1]
        if self.level_of is not None:
            # A few selections are part of what reads them; a gather may not be.
            for level in range(1, values.shape[1]):
                here = (self.level_of == level)[:, None]
                found = jnp.where(here, values[:, level, None], found)
        return found


class Around(NamedTuple):
    """What all blocks are given.

    Attributes:
        conditions: `Streams` of `Condition`.
        tables: of rotary positions.
        rows: the order of the batch.
        texts: `Streams` of text states ``[P, L, D]``; None where keys and values come.
        lengths: ``[P]`` how many leading tokens of a text are looked at; None for all.
        self_weights: ``[S, T, T]`` of the picture's attention to itself; None for ones.
    """

    conditions: Streams
    tables: Tables
    rows: Rows
    texts: Streams | None
    lengths: Int[Array, " P"] | None
    self_weights: Float[Array, "S T T"] | None


class Side(NamedTuple):
    """One stream in attention between the streams; Q of the rows see each other.

    Attributes:
        normed: ``[Q, T, D]`` float32.
        rows: ``[S, 5, D]``, see `Condition`.
        rotary: turns of its tokens.
    """

    normed: Float[Array, "Q T D"]
    rows: Float[Array, "S 5 D"]
    rotary: Rotary

    def modulated(self, first: int) -> Float[Array, "Q T D"]:
        """Scale by 1 plus row ``first``, and shift by the next one."""
        return (
            self.normed * (1 + self.rows[:, None, first])
            + self.rows[:, None, first + 1]
        )


def modulate(
    x: Tokens, shift: PerToken, scale: PerToken, epsilon: float
) -> Float[Array, "R T D"]:
    """Normalise by the root mean square, scale by ``1 + scale`` and shift."""
    return (rms_normalise(x, epsilon) * (1 + scale) + shift).astype(x.dtype)


def add_gated(x: Tokens, update: Tokens, gate: PerToken) -> Float[Array, "R T D"]:
    """Return ``x + gate update``, computed in float32."""
    wide = gate * update.astype(jnp.float32)
    return (x.astype(jnp.float32) + wide).astype(x.dtype)


class StreamBlock(nnx.Module):
    """One stream's half of a block."""

    def __init__(
        self,
        config: TransformerConfig,
        width: int,
        heads: int,
        other: int,
        *,
        rngs: nnx.Rngs,
    ):
        """Build the half of a stream of a width and heads; ``other`` is as wide."""
        self.config = config
        usual: dict[str, Any] = {
            "gated": config.gated,
            "epsilon": config.epsilon,
            "rngs": rngs,
        }
        between = config.audio
        self.own = Attention(width, width, heads, width, **usual)
        self.text = Attention(width, width, heads, width, **usual)
        self.across = Attention(width, other, between.heads, between.width, **usual)
        self.mlp = Mlp(width, _MLP_RATIO * width, width, rngs=rngs)
        self.table = _table(9 if config.text_modulated else 6, width, rngs)
        self.across_table = _table(5, width, rngs)
        modulated = config.text_modulated
        self.text_table: Any = _table(2, width, rngs) if modulated else None

    def attend_self(
        self,
        x: Tokens,
        condition: Condition,
        rotary: Rotary,
        weights: Float[Array, "S T T"] | None,
        passed: Bool[Array, "R 1 1 1"] | None,
    ) -> Float[Array, "R T D"]:
        """Add attention of the stream to itself; see `Attention` for the last two."""
        normed = self._modulated(x, condition, 0)
        memory = self.own.remember(normed, rotary)
        update = self.own(normed, memory, rotary, weights=weights, passed=passed)
        return add_gated(x, update, self._row(condition, 2))

    def attend_text(
        self,
        x: Tokens,
        condition: Condition,
        memory: KeyValue,
        lengths: Int[Array, " R"] | None,
    ) -> Float[Array, "R T D"]:
        """Add attention to the text, of as many rows."""
        if not self.config.text_modulated:
            normed = rms_normalise(x, self.config.epsilon).astype(x.dtype)
            return x + self.text(normed, memory, lengths=lengths)
        normed = self._modulated(x, condition, 6)
        update = self.text(normed, memory, lengths=lengths)
        return add_gated(x, update, self._row(condition, 8))

    def feed(self, x: Tokens, condition: Condition) -> Float[Array, "R T D"]:
        """Add the MLP."""
        update = self.mlp(self._modulated(x, condition, 3))
        return add_gated(x, update, self._row(condition, 5))

    def remember_text(
        self, texts: Float[Array, "P L D"], shared: Float[Array, "S 2 D"], rows: Rows
    ) -> KeyValue:
        """Return the modulated text's keys and values, for every row of the batch.

        Where all rows have the same noise level they are made once for a prompt.

        Args:
            texts: of all prompts.
            shared: of `Condition`.
            rows: the order of the batch.
        """
        both = self.text_table[...].astype(jnp.float32) + shared
        alike = len(shared) == 1
        if not alike:
            texts = jnp.take(texts, rows.texts, axis=0)
        shift, scale = both[:, None, 0], both[:, None, 1]
        wide = texts.astype(jnp.float32) * (1 + scale) + shift
        memory = self.text.remember(wide.astype(texts.dtype))
        return _for_rows(memory, rows) if alike else memory

    def side(self, x: Tokens, condition: Condition, rotary: Rotary) -> Side:
        """Return what attention between the streams needs of this one."""
        table = self.across_table[...].astype(jnp.float32)
        rows = (table + condition.across)[: len(x)]
        return Side(rms_normalise(x, self.config.epsilon), rows, rotary)

    def attend_across(
        self, x: Tokens, own: Side, other: Side, first: int
    ) -> Float[Array, "R T D"]:
        """Add attention to the other stream, modulated by rows ``first`` and next."""
        keys, asked = (side.modulated(first).astype(x.dtype) for side in (other, own))
        memory = self.across.remember(keys, other.rotary)
        update = self.across(asked, memory, own.rotary)
        return add_gated(x, update, own.rows[:, None, _GATE])

    def _row(self, condition: Condition, index: int) -> PerToken:
        own = self.table[index].astype(jnp.float32)
        return condition.per_token(own + condition.rows[:, :, index])

    def _modulated(self, x: Tokens, condition: Condition, first: int) -> Tokens:
        shift, scale = (self._row(condition, first + n) for n in range(2))
        return modulate(x, shift, scale, self.config.epsilon)


class Block(nnx.Module):
    """A block of both streams."""

    def __init__(self, config: TransformerConfig, *, rngs: nnx.Rngs):
        self.config = config
        video, audio = config.video, config.audio
        self.video = StreamBlock(
            config, video.width, video.heads, audio.width, rngs=rngs
        )
        self.audio = StreamBlock(
            config, audio.width, audio.heads, video.width, rngs=rngs
        )

    def prepare(self, texts: Streams) -> Streams:
        """Return keys and values of text that no noise level modulates."""
        return Streams(
            self.video.text.remember(texts.video), self.audio.text.remember(texts.audio)
        )

    def __call__(
        self,
        tokens: Streams,
        around: Around,
        memories: Streams | None,
        index: Int[Array, ""],
    ) -> Streams:
        """Apply the block.

        Args:
            tokens: `Streams` of ``[R, T, D]``, in the order of ``around.rows``.
            around: what all blocks are given.
            memories: what `prepare` returned, or None.
            index: of the block.
        """
        rows, passed = around.rows, None
        if rows.perturbed.any():
            here = index == self.config.perturbed_block
            passed = jnp.asarray(rows.perturbed)[:, None, None, None] & here
        lengths = _for_rows(around.lengths, rows)
        found = []
        for name, x in tokens._asdict().items():
            half, condition = getattr(self, name), getattr(around.conditions, name)
            rotary = getattr(around.tables.within, name)
            weights = around.self_weights if name == "video" else None
            x = half.attend_self(x, condition, rotary, weights, passed)
            if around.texts is None:
                memory = _for_rows(getattr(memories, name), rows)
            else:
                texts = getattr(around.texts, name)
                memory = half.remember_text(texts, condition.text, rows)
            found.append(half.attend_text(x, condition, memory, lengths))
        video, audio = self._exchange(Streams(*found), around)
        return Streams(
            self.video.feed(video, around.conditions.video),
            self.audio.feed(audio, around.conditions.audio),
        )

    def _exchange(self, tokens: Streams, around: Around) -> Streams:
        """Let the streams attend to each other, each to what the other was before."""
        count = around.rows.num_joint
        if count == 0:
            return tokens
        joint = jax.tree.map(lambda x: x[:count], tokens)
        turns, (of_video, of_audio) = around.tables.across, around.conditions
        video = self.video.side(joint.video, of_video, turns.video)
        audio = self.audio.side(joint.audio, of_audio, turns.audio)
        new = Streams(
            self.video.attend_across(joint.video, video, audio, _TO_VIDEO),
            self.audio.attend_across(joint.audio, audio, video, _TO_AUDIO),
        )
        return jax.tree.map(
            lambda x, part: jnp.concatenate([part, x[count:]]), tokens, new
        )


def _for_rows(tree: Any, rows: Rows) -> Any:
    """Give every row of the batch its prompt's entry of arrays ``[P, ...]``."""
    return jax.tree.map(lambda x: jnp.take(x, rows.texts, axis=0), tree)


def _table(rows: int, width: int, rngs: nnx.Rngs) -> nnx.Param:
    return nnx.Param(jax.random.normal(rngs.params(), (rows, width)) / width**0.5)

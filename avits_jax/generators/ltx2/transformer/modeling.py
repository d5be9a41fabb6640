"""The audio-video transformer of LTX-2 (19B) and LTX-2.3 (22B).

Predicts the velocity of tokens of picture and sound. Branches of guidance are rows of
one batch. Blocks are stacked and scanned. What does not change while a prompt is
denoised is made once, by `Transformer.prepare_context` and `rotary.rotary_tables`.

Against the original: tokens at several noise levels are told by the few different
levels and who has which, so that no modulation is computed per token. Where all rows
are at one noise level, keys and values of a prompt are made once for all of them.
Attention between the streams is modulated by the other stream's noise level, as in
ltx-core; in diffusers that is ``use_cross_timestep=True``, its pipelines' choice.

Upstream: huggingface/diffusers 0.42.1, models/transformers/transformer_ltx2.py
(LTX2VideoTransformer3DModel).
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Bool, Float, Int

from avits_jax.generators.ltx2.streams import Streams
from avits_jax.generators.ltx2.transformer.blocks import (
    Around,
    Block,
    Condition,
)
from avits_jax.generators.ltx2.transformer.branches import Branch, order_rows
from avits_jax.generators.ltx2.transformer.config import StreamConfig, TransformerConfig
from avits_jax.generators.ltx2.transformer.layers import (
    EXACT,
    LevelEmbed,
    Mlp,
)
from avits_jax.generators.ltx2.transformer.rotary import Tables
from avits_jax.nn.attention import count_seen
from avits_jax.nn.linear import linear
from avits_jax.nn.stacking import stack_layers
from avits_jax.nn.vectors import rms_normalise


class Context(NamedTuple):
    """What prompts fix for all candidates and steps.

    Attributes:
        texts: `Streams` of text states ``[P, L, D]``, as wide as the streams; None
            where keys and values do not depend on the noise level.
        memories: `Streams` of these keys and values, `KeyValue` of
            ``[depth, P, L, H, d]``; None else.
        lengths: ``[P]`` how many leading tokens of a prompt are looked at; None: all.
    """

    texts: Streams | None
    memories: Streams | None
    lengths: Int[Array, " P"] | None

    @property
    def num_prompts(self) -> int:
        """Return P."""
        if self.memories is not None:
            return self.memories.video.key.shape[1]
        return 0 if self.texts is None else len(self.texts.video)


class StreamEnds(nnx.Module):
    """What a stream has once: its way in and out, and its noise levels."""

    def __init__(
        self, config: TransformerConfig, stream: StreamConfig, *, rngs: nnx.Rngs
    ):
        self.config = config
        width, caption = stream.width, config.caption_width
        modulated = config.text_modulated
        self.inward = linear(stream.channels, width, precision=EXACT, rngs=rngs)
        self.time = LevelEmbed(width, 9 if modulated else 6, rngs=rngs)
        self.across_time = LevelEmbed(width, 4, rngs=rngs)
        self.gate_time = LevelEmbed(width, 1, rngs=rngs)
        self.text_time = LevelEmbed(width, 2, rngs=rngs) if modulated else None
        self.caption = Mlp(caption, width, width, rngs=rngs) if caption else None
        self.table = nnx.Param(jax.random.normal(rngs.params(), (2, width)))
        self.outward = linear(width, stream.channels, precision=EXACT, rngs=rngs)

    def embed(self, latents: Float[Array, "R T C"]) -> Float[Array, "R T D"]:
        """Bring latents to the width of the stream, in the dtype of its weights."""
        tokens = self.inward(latents.astype(jnp.float32))
        return tokens.astype(self.inward.kernel[...].dtype)

    def condition(
        self,
        levels: Float[Array, "S K"],
        level_of: Int[Array, " T"] | None,
        sigma: Float[Array, " Q"],
        other: Float[Array, " Q"],
    ) -> Condition:
        """Return what noise levels say to this stream.

        Args:
            levels: different levels of its tokens, in [0, 1].
            level_of: which of them each token has.
            sigma: its own level, which modulates the text.
            other: the other stream's, which modulates attention to it.
        """
        config = self.config
        rows, embedded = self.time(levels * config.time_scale)
        across, _ = self.across_time(other * config.time_scale)
        gate, _ = self.gate_time(other * config.gate_time_scale)
        text = None
        if self.text_time is not None:
            text, _ = self.text_time(sigma * config.time_scale)
        both = jnp.concatenate([across, gate], 1)
        return Condition(rows, embedded, level_of, both, text)

    def text(self, states: Float[Array, "P L E"]) -> Float[Array, "P L D"]:
        """Bring text states to the width of the stream, if they are not so wide."""
        states = states.astype(self.inward.kernel[...].dtype)
        return states if self.caption is None else self.caption(states)

    def velocity(
        self, tokens: Float[Array, "R T D"], condition: Condition
    ) -> Float[Array, "R T C"]:
        """Turn tokens into velocities, float32."""
        wide = tokens.astype(jnp.float32)
        wide = wide - jnp.mean(wide, -1, keepdims=True)
        wide = rms_normalise(wide, self.config.epsilon)
        table = self.table[...].astype(jnp.float32)
        shift, scale = (
            condition.per_token(row + condition.embedded)
            for row in (table[0], table[1])
        )
        return self.outward(wide * (1 + scale) + shift)


class Transformer(nnx.Module):
    """Predicts velocities (noise minus data) of both streams."""

    def __init__(self, config: TransformerConfig, *, rngs: nnx.Rngs):
        self.config = config
        self.video = StreamEnds(config, config.video, rngs=rngs)
        self.audio = StreamEnds(config, config.audio, rngs=rngs)
        self.blocks = stack_layers(
            lambda rngs: Block(config, rngs=rngs), config.depth, rngs
        )

    def prepare_context(
        self, states: Streams, mask: Bool[Array, "P L"] | None = None
    ) -> Context:
        """Make what stays the same while prompts are denoised.

        Args:
            states: `Streams` of text states ``[P, L, E]`` of P prompts.
            mask: True for tokens that are looked at, at least one of each prompt; None
                for all, as the published connectors want it.
        """
        lengths = None
        if mask is not None:
            # Without positions the order is free, and leading tokens need no mask.
            first = jnp.argsort(~mask, axis=1, stable=True)[..., None]
            states = jax.tree.map(lambda x: jnp.take_along_axis(x, first, 1), states)
            lengths = count_seen(mask)
        texts = Streams(self.video.text(states.video), self.audio.text(states.audio))
        if self.config.text_modulated:
            return Context(texts, None, lengths)
        graph, weights = nnx.split(self.blocks)
        memories = jax.lax.map(
            lambda one: nnx.merge(graph, one).prepare(texts), weights
        )
        return Context(None, memories, lengths)

    def __call__(
        self,
        latents: Streams,
        levels: Streams,
        level_of: Streams | None,
        sigmas: Streams,
        context: Context,
        tables: Tables,
        *,
        branches: Sequence[Branch] = (Branch(),),
        self_weights: Float[Array, "S T T"] | None = None,
    ) -> Streams:
        """Predict velocities, float32.

        Row ``n G + g`` of the R rows is branch ``g`` of candidate ``n``. What has S
        rows below has one for each of them, or one for all; with one, keys and values
        of a prompt are made once and not for every row.

        Args:
            latents: `Streams` of tokens ``[R, T, C]``.
            levels: `Streams` of the different noise levels ``[S, K]`` of a row's
                tokens, in [0, 1]; each stream has its own S and K.
            level_of: `Streams` of which level a token has, ``[T]`` int32 or None where
                K is 1; None for both.
            sigmas: `Streams` of each stream's own noise level ``[S]``.
            context: what `prepare_context` made.
            tables: what `rotary_tables` made.
            branches: of a candidate.
            self_weights: ``[S, T, T]`` in [0, 1], what the shares of the picture's
                attention to itself are multiplied by; it is not fused then.

        Returns:
            `Streams` of ``[R, T, C]``.

        Raises:
            ValueError: an argument does not fit the others; the message names it.
        """
        run = latents, levels, level_of, sigmas, context, tables
        return self._run(*run, branches, self_weights)[0]

    def reuse(
        self,
        latents: Streams,
        levels: Streams,
        level_of: Streams | None,
        sigmas: Streams,
        context: Context,
        tables: Tables,
        *,
        branches: Sequence[Branch] = (Branch(),),
        added: Streams | None = None,
    ) -> tuple[Streams, Streams]:
        """Return velocities of `__call__`, and what all blocks added to the tokens.

        The latter are `Streams` of ``[R, T, D]``; where they are given, they are added
        again, and no block is run.
        """
        run = latents, levels, level_of, sigmas, context, tables
        velocities, _, _, added = self._run(*run, branches, added=added)
        return velocities, added

    def trace(
        self,
        latents: Streams,
        levels: Streams,
        level_of: Streams | None,
        sigmas: Streams,
        context: Context,
        tables: Tables,
        *,
        branches: Sequence[Branch] = (Branch(),),
        self_weights: Float[Array, "S T T"] | None = None,
    ) -> tuple[Streams, Streams, Streams]:
        """Return velocities of `__call__`, conditions, and outputs of the blocks.

        The latter are `Streams` of ``[depth, R, T, D]``. Rows of conditions and outputs
        are in the order of `order_rows`.
        """
        run = latents, levels, level_of, sigmas, context, tables
        return self._run(*run, branches, self_weights, keep=True)[:3]

    def _run(
        self,
        latents: Streams,
        levels: Streams,
        level_of: Streams | None,
        sigmas: Streams,
        context: Context,
        tables: Tables,
        branches: Sequence[Branch],
        self_weights: Array | None = None,
        *,
        keep: bool = False,
        added: Streams | None = None,
    ) -> tuple[Streams, Streams, Any, Streams]:
        level_of = level_of or Streams(None, None)
        _check(latents, levels, level_of, sigmas, tables)
        rows = order_rows(branches, len(latents.video), context.num_prompts)
        latents, levels, sigmas, self_weights, added = jax.tree.map(
            rows.sort, (latents, levels, sigmas, self_weights, added)
        )
        video, audio = self.video, self.audio
        conditions = Streams(
            video.condition(levels.video, level_of.video, *sigmas),
            audio.condition(levels.audio, level_of.audio, *sigmas[::-1]),
        )
        tokens = Streams(video.embed(latents.video), audio.embed(latents.audio))
        around = Around(
            conditions, tables, rows, context.texts, context.lengths, self_weights
        )
        kept = None
        if added is None:
            done, kept = self._run_blocks(tokens, around, context.memories, keep)
            added = jax.tree.map(jnp.subtract, done, tokens)
        else:
            done = jax.tree.map(jnp.add, tokens, added)
        velocities = Streams(
            video.velocity(done.video, conditions.video),
            audio.velocity(done.audio, conditions.audio),
        )
        velocities, added = jax.tree.map(rows.restore, (velocities, added))
        return velocities, conditions, kept, added

    def _run_blocks(
        self, tokens: Streams, around: Around, memories: Streams | None, keep: bool
    ) -> tuple[Streams, Any]:
        graph, weights = nnx.split(self.blocks)

        def run_block(tokens: Streams, one: Any) -> tuple[Streams, Any]:
            weights, memory, index = one
            tokens = nnx.merge(graph, weights)(tokens, around, memory, index)
            return tokens, tokens if keep else None

        index = jnp.arange(self.config.depth)
        return jax.lax.scan(run_block, tokens, (weights, memories, index))


def _check(
    latents: Streams,
    levels: Streams,
    level_of: Streams,
    sigmas: Streams,
    tables: Tables,
) -> None:
    """Refuse streams that do not fit each other."""
    rows = len(latents.video)
    if len(latents.audio) != rows:
        raise ValueError(
            f"latents.audio has {len(latents.audio)} rows; expected {rows}, those of "
            "latents.video"
        )
    for name in Streams._fields:
        tokens, turns = getattr(latents, name), getattr(tables.within, name)
        if len(turns.cos) != tokens.shape[1]:
            raise ValueError(
                f"tables.within.{name} is of {len(turns.cos)} tokens; expected "
                f"{tokens.shape[1]}"
            )
        own, which = getattr(levels, name), getattr(level_of, name)
        if which is None and own.shape[1] != 1:
            raise ValueError(
                f"levels.{name} has {own.shape[1]} levels and level_of does not say "
                "which token has which"
            )
        for what, each in (("levels", own), ("sigmas", getattr(sigmas, name))):
            if len(each) not in (1, rows):
                raise ValueError(
                    f"{what}.{name} has {len(each)} rows; expected {rows}, or 1 for all"
                )
    if len(sigmas.video) != len(sigmas.audio):
        raise ValueError(
            f"sigmas have {len(sigmas.video)} and {len(sigmas.audio)} rows; expected "
            "as many of both"
        )

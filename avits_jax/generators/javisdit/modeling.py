"""VASTDiT3, JavisDiT's joint audio-video transformer (arXiv 2503.23377).

Latents are batch-first and channels-last. Levels are stacked and scanned. What does not
change while a prompt is denoised (keys and values of text and priors) is made once, by
`Transformer.prepare`.

Against the original: its prior attention mixes all samples of a batch, conditional and
unconditional ones alike; which samples share their priors is chosen here by
`couple_rows`. Prior keys are not repeated per frame and position, which changes
nothing. In frame masks, the modulation is chosen per frame before it is applied.

Upstream: JavisVerse/JavisDiT at b505b37, javisdit/models/stdit/vastdit3.py (VASTDiT3),
with the embedders, positions and patches of javisdit/models/layers/blocks.py; by
descent hpcaitech/Open-Sora, opensora/models/stdit/stdit3.py.
"""

from functools import partial
from typing import Literal, NamedTuple, get_args

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Bool, Float
from ml_dtypes import bfloat16

from avits_jax.generators.javisdit.attention import KeyValue, Tokens
from avits_jax.generators.javisdit.blocks import (
    AudioTokens,
    Condition,
    Exchange,
    FinalLayer,
    Mlp,
    PriorBlock,
    SelfBlock,
)
from avits_jax.generators.javisdit.config import TransformerConfig
from avits_jax.generators.javisdit.padding import run_padded
from avits_jax.generators.javisdit.schedule import Precision
from avits_jax.nn.positions import embed_number, positions_1d, positions_2d
from avits_jax.nn.stacking import run_or_repeat, stack_layers

PriorScope = Literal["candidate", "batch", "separate"]
VideoLatents = Float[Array, "B T H W C"]
AudioLatents = Float[Array, "B Ta M Ca"]
VideoVelocities = Float[Array, "B T H W 2*C"]
AudioVelocities = Float[Array, "B Ta M 2*Ca"]
Patches = Float[Array, "B t S D"]
Streams = tuple[Float[Array, "B tv sv D"], Float[Array, "B ta sa D"]]  # video, audio
# Shift, scale and gate rows of self-attention blocks, and of prior blocks.
SelfRows = Float[Array, "B #T 6 D"]
PriorRows = Float[Array, "B #T 9 D"]
NUMBER_WIDTH = 256
# Small layers whose results act on everything: float32 even where that is slow.
_EXACT = jax.lax.Precision.HIGHEST
_SELF_BLOCKS = ("video_spatial", "video_temporal", "audio_spatial", "audio_temporal")


# By the name of the self-attention block; arrays are [depth, R, ...].
TextContext = dict[str, KeyValue]
# By stream, for the spatial and for the temporal prior; arrays are [depth, R, ...].
PriorContext = dict[str, tuple[KeyValue, KeyValue]]


class Context(NamedTuple):
    """Keys and values of a prompt, constant over denoising steps.

    Attributes:
        text: of every text attention.
        text_mask: ``[R, L]`` True for tokens that are looked at, which lead their row,
            or None for all.
        priors: of every prior attention.
    """

    text: TextContext
    text_mask: Bool[Array, "R L"] | None
    priors: PriorContext


class _Conditions(NamedTuple):
    """Embedded noise levels and frame rates, and which frames are at which level.

    Attributes:
        now: of frames at the present level.
        clean: of frames that are given.
        video_mask: ``[B, T]`` True for the former, or None for all, by token times.
        audio_mask: ``[B, Ta]`` the same.
    """

    now: Condition
    clean: Condition
    video_mask: Bool[Array, "B T"] | None
    audio_mask: Bool[Array, "B Ta"] | None


def couple_rows(priors: PriorContext, scope: PriorScope) -> PriorContext:
    """Let samples see each other's priors.

    Args:
        priors: each row for itself, in pairs of a candidate's conditional and
            unconditional sample.
        scope: "candidate": both samples of a pair see the priors of both, as in the
            original when it makes one candidate at a time. "batch": all samples see
            the priors of all, as in the original when it makes several. "separate":
            every sample sees its own.

    Returns:
        Priors whose rows neighbouring samples share, see `attention.cross_attend`.

    Raises:
        ValueError: the scope is unknown.
    """
    if scope not in get_args(PriorScope):
        raise ValueError(
            f"prior_scope is {scope!r}; accepted are {get_args(PriorScope)}"
        )

    def couple(array: Array) -> Array:
        depth, rows = array.shape[:2]
        groups = {"candidate": rows // 2, "batch": 1, "separate": rows}[scope]
        return array.reshape(depth, groups, -1, *array.shape[3:])

    return jax.tree.map(couple, priors)


class PatchEmbed(nnx.Module):
    """A strided convolution, as a matrix product over patches."""

    def __init__(
        self, patch: tuple[int, ...], channels: int, width: int, *, rngs: nnx.Rngs
    ):
        init = nnx.initializers.lecun_normal()
        self.kernel = nnx.Param(init(rngs.params(), (*patch, channels, width)))
        self.bias = nnx.Param(jnp.zeros((width,)))

    def __call__(self, x: Float[Array, "B *space C"]) -> Float[Array, "B *grid D"]:
        kernel = self.kernel[...].astype(x.dtype)
        patch = kernel.shape[:-2]
        space = x.shape[1:-1]
        split = [
            n for size, p in zip(space, patch, strict=True) for n in (size // p, p)
        ]
        rank = len(patch)
        grid, inner = range(1, 2 * rank, 2), range(2, 2 * rank + 1, 2)
        x = x.reshape(len(x), *split, x.shape[-1])
        x = x.transpose(0, *grid, *inner, 2 * rank + 1)
        x = x.reshape(*x.shape[: rank + 1], -1)
        kernel = kernel.reshape(-1, kernel.shape[-1])
        product = jnp.matmul(x, kernel, precision=_EXACT)
        return product + self.bias[...].astype(x.dtype)


def unpatchify(
    x: Float[Array, "B *grid F"], patch: tuple[int, ...]
) -> Float[Array, "B *space C"]:
    """Turn features (patch axes, channel), channel fastest, into a dense array."""
    rank = len(patch)
    grid = x.shape[1:-1]
    x = x.reshape(len(x), *grid, *patch, -1)
    order = [axis for i in range(rank) for axis in (1 + i, 1 + rank + i)]
    x = x.transpose(0, *order, 2 * rank + 1)
    sizes = [n * p for n, p in zip(grid, patch, strict=True)]
    return x.reshape(len(x), *sizes, x.shape[-1])


class NumberEmbed(nnx.Module):
    """Sinusoids of a number through two linear layers."""

    def __init__(self, width: int, *, rngs: nnx.Rngs):
        self.up = nnx.Linear(NUMBER_WIDTH, width, precision=_EXACT, rngs=rngs)
        self.down = nnx.Linear(width, width, precision=_EXACT, rngs=rngs)

    def __call__(self, value: Float[Array, "*B"]) -> Float[Array, "*B D"]:
        """Embed numbers in float32, whatever the weights' dtype."""
        return self.down(jax.nn.silu(self.up(embed_number(value, NUMBER_WIDTH))))


class Level(nnx.Module):
    """Seven blocks: video and audio self-attention, priors, exchange."""

    def __init__(self, config: TransformerConfig, *, rngs: nnx.Rngs):
        self.video_spatial = SelfBlock(config, temporal=False, rngs=rngs)
        self.video_temporal = SelfBlock(config, temporal=True, rngs=rngs)
        self.audio_spatial = SelfBlock(config, temporal=False, rngs=rngs)
        self.audio_temporal = SelfBlock(config, temporal=True, rngs=rngs)
        self.video_prior = PriorBlock(config, rngs=rngs)
        self.audio_prior = PriorBlock(config, rngs=rngs)
        self.exchange = Exchange(config, rngs=rngs)

    def prepare_text(self, texts: dict[str, Array]) -> TextContext:
        """Return keys and values of this level's text attentions."""
        return {
            name: getattr(self, name).text.prepare(texts[name.split("_")[0]])
            for name in _SELF_BLOCKS
        }

    def prepare_priors(self, spatial: Array, temporal: Array) -> PriorContext:
        """Return keys and values of this level's prior attentions."""
        blocks = {"video": self.video_prior, "audio": self.audio_prior}
        return {
            stream: (block.spatial.prepare(spatial), block.temporal.prepare(temporal))
            for stream, block in blocks.items()
        }

    def __call__(
        self,
        video: Tokens,
        audio: AudioTokens,
        shared: dict[str, tuple[Array, Array]],
        rotary: Float[Array, " P"],
        context: Context,
        seen: int | None = None,
    ) -> dict[str, Float[Array, "B _ _ D"]]:
        """Return outputs of all blocks by name; the last ones are ``exchange_*``.

        Of a frame of the video only the first ``seen`` tokens are looked at, or all.
        """
        streams = {"video": video, "audio": audio}
        shown = {"video": seen, "audio": None}
        outputs = {}
        for stream in streams:
            for kind in ("spatial", "temporal"):
                name = f"{stream}_{kind}"
                outputs[name] = streams[stream] = getattr(self, name)(
                    streams[stream],
                    shared[stream][0],
                    rotary,
                    context.text[name],
                    context.text_mask,
                    shown[stream],
                )
        for stream in streams:
            name = f"{stream}_prior"
            outputs[name] = streams[stream] = getattr(self, name)(
                streams[stream], shared[stream][1], *context.priors[stream]
            )
        after = self.exchange(streams["video"], streams["audio"], seen)
        outputs["exchange_video"], outputs["exchange_audio"] = after
        return outputs


class Transformer(nnx.Module):
    """VASTDiT3: predicts data minus noise for video and audio latents.

    With ``precision="reference"`` height, width, timesteps and the frequencies of all
    positions are rounded to bfloat16, as in the original when it runs in that format.
    """

    def __init__(
        self,
        config: TransformerConfig,
        *,
        precision: Precision = "float32",
        rngs: nnx.Rngs,
    ):
        self.config = config
        self.rounded = precision == "reference"
        width = config.width
        self.video_in = PatchEmbed(
            config.video_patch, config.video_channels, width, rngs=rngs
        )
        self.audio_in = PatchEmbed(
            config.audio_patch, config.audio_channels, width, rngs=rngs
        )
        self.time = NumberEmbed(width, rngs=rngs)
        self.fps = NumberEmbed(width, rngs=rngs)
        self.modulation = nnx.Linear(width, 6 * width, precision=_EXACT, rngs=rngs)
        self.prior_modulation = nnx.Linear(
            width, 9 * width, precision=_EXACT, rngs=rngs
        )
        self.video_text = Mlp(config.text_width, width, width, rngs=rngs)
        self.audio_text = Mlp(config.text_width, width, width, rngs=rngs)
        self.prior = Mlp(config.prior_width, width, width, rngs=rngs)
        num_priors = config.spatial_tokens + config.temporal_tokens
        self.null_text = nnx.Param(jnp.zeros((config.text_length, config.text_width)))
        self.null_prior = nnx.Param(jnp.zeros((num_priors, config.prior_width)))
        pairs = jnp.arange(config.head_width // 2) / (config.head_width // 2)
        self.rotary = nnx.Param(10_000.0**-pairs)
        self.levels = stack_layers(
            lambda rngs: Level(config, rngs=rngs), config.depth, rngs
        )
        self.video_final = _final_layer(
            width, config.video_patch, config.video_channels, rngs
        )
        self.audio_final = _final_layer(
            width, config.audio_patch, config.audio_channels, rngs
        )

    @property
    def dtype(self) -> jnp.dtype:
        """Return the dtype of the matrix products: that of the weights."""
        return self.modulation.kernel[...].dtype

    def prepare(
        self,
        text: Float[Array, "R L E"],
        text_mask: Bool[Array, "R L"] | None,
        spatial_prior: Float[Array, "P Ns Dp"],
        temporal_prior: Float[Array, "P Nt Dp"],
        prior_scope: PriorScope = "separate",
    ) -> Context:
        """Make what stays the same while a prompt is denoised.

        Args:
            text: states of the text encoder. R rows serve B samples: sample b looks at
                row ``b % R``.
            text_mask: True for tokens that are looked at, which lead their row; None
                for all.
            spatial_prior: spatial prior tokens.
            temporal_prior: temporal prior tokens.
            prior_scope: see `couple_rows`.

        Raises:
            ValueError: the number of prior tokens is not as configured, or the scope is
                unknown.
        """
        priors = self.prepare_priors(spatial_prior, temporal_prior)
        return Context(
            self.prepare_text(text), text_mask, couple_rows(priors, prior_scope)
        )

    def prepare_text(self, text: Float[Array, "R L E"]) -> TextContext:
        """Return keys and values of all text attentions."""
        texts = {
            "video": self.video_text(text.astype(self.dtype)),
            "audio": self.audio_text(text.astype(self.dtype)),
        }
        graph, weights = nnx.split(self.levels)
        return jax.lax.map(
            lambda one: nnx.merge(graph, one).prepare_text(texts), weights
        )

    def prepare_priors(
        self, spatial: Float[Array, "P Ns Dp"], temporal: Float[Array, "P Nt Dp"]
    ) -> PriorContext:
        """Return keys and values of all prior attentions, each row for itself.

        Raises:
            ValueError: the numbers of tokens are not as configured.
        """
        config = self.config
        counts = (spatial.shape[1], temporal.shape[1])
        if counts != (config.spatial_tokens, config.temporal_tokens):
            raise ValueError(
                f"priors have {counts} tokens; expected "
                f"{(config.spatial_tokens, config.temporal_tokens)}"
            )
        embedded = self.embed_priors(spatial, temporal)
        graph, weights = nnx.split(self.levels)
        return jax.lax.map(
            lambda one: nnx.merge(graph, one).prepare_priors(*embedded), weights
        )

    def embed_priors(self, spatial: Array, temporal: Array) -> tuple[Array, Array]:
        """Bring prior tokens to the width of the residual streams."""
        both = jnp.concatenate([spatial, temporal], 1).astype(self.dtype)
        embedded = self.prior(both)
        return embedded[:, : spatial.shape[1]], embedded[:, spatial.shape[1] :]

    def __call__(
        self,
        video: VideoLatents,
        audio: AudioLatents,
        timesteps: Float[Array, " B"],
        context: Context,
        *,
        fps: Float[Array, " B"],
        height: float,
        width: float,
        video_mask: Bool[Array, "B Tv"] | None = None,
        audio_mask: Bool[Array, "B Ta"] | None = None,
        added: Streams | None = None,
    ) -> tuple[tuple[VideoVelocities, AudioVelocities], Streams]:
        """Predict velocities (data minus noise), float32.

        Args:
            video: ``[B, T, H, W, C]`` latents; sizes that the patch does not divide
                are filled with zeros at the end and cut again.
            audio: ``[B, Ta, M, C]`` latents; the patch must divide them.
            timesteps: noise levels in [0, 1000].
            context: what `prepare` made.
            fps: frames per second of the clip.
            height: pixels of the clip; it scales the positions.
            width: pixels of the clip.
            video_mask: True for latent frames at ``timesteps``, False for given ones,
                which count as clean; None for all True. Only together with the other.
            audio_mask: the same for latent time steps of the sound.
            added: what all levels together added to the tokens at another noise level,
                to be added again; None to run them, see `nn.stacking.run_or_repeat`.

        Returns:
            Velocities of video and audio, with twice the latents' channels: the second
            half is a learned variance that rectified flow does not use. And what was
            added to the tokens, in their dtype.

        Raises:
            ValueError: a patch does not divide the audio, a mask comes alone or does
                not fit.
        """
        streams = self.embed_video(video, height, width), self.embed_audio(audio)
        conditions = self._conditions(streams, timesteps, fps, video_mask, audio_mask)

        def levels(streams: Streams, seen: int | None) -> Streams:
            return self._run_levels(streams, conditions, context, seen=seen)[0]

        streams, added = run_or_repeat(partial(run_padded, levels), streams, added)
        found = self._final(streams, conditions)
        return self._unpatchify(*found, video.shape[1:4]), added

    def trace(
        self,
        video: VideoLatents,
        audio: AudioLatents,
        timesteps: Float[Array, " B"],
        context: Context,
        *,
        fps: Float[Array, " B"],
        height: float,
        width: float,
        video_mask: Bool[Array, "B Tv"] | None = None,
        audio_mask: Bool[Array, "B Ta"] | None = None,
    ) -> tuple[tuple[VideoVelocities, AudioVelocities], dict[str, Array]]:
        """Return velocities of `__call__`, and outputs of embedders and blocks by name.

        Block outputs are ``[depth, B, T, S, D]``.
        """
        tokens = self.embed_video(video, height, width), self.embed_audio(audio)
        conditions = self._conditions(tokens, timesteps, fps, video_mask, audio_mask)
        streams, blocks = self._run_levels(
            tokens, conditions, context, keep_blocks=True
        )
        found = self._final(streams, conditions)
        ends = {"in": tokens, "final": found}
        kept = {
            f"{stream}_{end}": array
            for end, pair in ends.items()
            for stream, array in zip(("video", "audio"), pair, strict=True)
        }
        return self._unpatchify(*found, video.shape[1:4]), kept | blocks

    def _conditions(
        self, streams: Streams, timesteps, fps, video_mask, audio_mask
    ) -> _Conditions:
        if audio_mask is not None:
            audio_mask = audio_mask[:, :: self.config.audio_patch[0]]
        self._check_masks(*streams, video_mask, audio_mask)
        now = self.condition(timesteps, fps)
        clean = self.condition(jnp.zeros_like(timesteps), fps)
        return _Conditions(now, clean, video_mask, audio_mask)

    def _run_levels(
        self,
        streams: Streams,
        conditions: _Conditions,
        context: Context,
        *,
        keep_blocks: bool = False,
        seen: int | None = None,
    ) -> tuple[Streams, dict[str, Array]]:
        """Return the streams behind all levels, and outputs of blocks if wanted.

        Of ``seen`` see `padding.run_padded`.
        """
        now, clean, video_mask, audio_mask = conditions
        shared = {
            "video": self.modulations(_per_frame(video_mask, now, clean)),
            "audio": self.modulations(_per_frame(audio_mask, now, clean)),
        }
        rotary = self._rounded(self.rotary[...])
        graph, weights = nnx.split(self.levels)

        def run_level(streams, level):
            one, text, priors = level
            within = Context(text, context.text_mask, priors)
            block = nnx.merge(graph, one)
            outputs = block(streams[0], streams[1], shared, rotary, within, seen)
            after = (outputs["exchange_video"], outputs["exchange_audio"])
            return after, outputs if keep_blocks else {}

        each = (weights, context.text, context.priors)
        return jax.lax.scan(run_level, streams, each)

    def _final(self, streams: Streams, conditions: _Conditions) -> tuple[Array, Array]:
        """Return the outputs of the final layers."""
        now, clean, video_mask, audio_mask = conditions
        return (
            self.video_final(streams[0], now, clean, video_mask),
            self.audio_final(streams[1], now, clean, audio_mask),
        )

    def embed_video(self, video: VideoLatents, height: float, width: float) -> Patches:
        """Embed patches of the video with their positions, ``[B, T, S, D]``."""
        config = self.config
        margins = [
            (0, -size % patch)
            for size, patch in zip(video.shape[1:4], config.video_patch, strict=True)
        ]
        padded = jnp.pad(video.astype(jnp.float32), [(0, 0), *margins, (0, 0)])
        tokens = self.video_in(padded)
        if self.rounded:
            height, width = (float(bfloat16(size)) for size in (height, width))
        rows, columns = tokens.shape[2:4]
        positions = positions_2d(
            rows,
            columns,
            config.width,
            scale=(height * width) ** 0.5 / config.base_size,
            base=round((rows * columns) ** 0.5),
            rounded=self.rounded,
        )
        tokens = (tokens + positions).astype(self.dtype)
        return tokens.reshape(*tokens.shape[:2], -1, config.width)

    def embed_audio(self, audio: AudioLatents) -> Patches:
        """Embed patches of the sound with their positions, ``[B, T, S, D]``."""
        config = self.config
        sizes = zip(audio.shape[1:3], config.audio_patch, strict=True)
        if any(size % patch for size, patch in sizes):
            raise ValueError(
                f"audio has sizes {audio.shape[1:3]}; expected multiples of "
                f"{config.audio_patch}"
            )
        tokens = self.audio_in(audio.astype(jnp.float32))
        positions = positions_1d(tokens.shape[2], config.width, rounded=self.rounded)
        return (tokens + positions).astype(self.dtype)

    def condition(
        self, timesteps: Float[Array, " B"], fps: Float[Array, " B"]
    ) -> Condition:
        """Return the embedded timestep plus the embedded fps, in float32."""
        return (self.time(self._rounded(timesteps)) + self.fps(fps))[:, None]

    def modulations(self, condition: Condition) -> tuple[SelfRows, PriorRows]:
        """Return the rows that all self-attention, and all prior blocks share."""
        active = jax.nn.silu(condition)
        shape = (*condition.shape[:2], -1, self.config.width)
        return (
            self.modulation(active).reshape(shape),
            self.prior_modulation(active).reshape(shape),
        )

    def _rounded(self, x: Float[Array, "*B"]) -> Float[Array, "*B"]:
        # Unlike a cast there and back, this is never optimised away.
        return jax.lax.reduce_precision(x, 8, 7) if self.rounded else x

    def _check_masks(self, video: Tokens, audio: AudioTokens, video_mask, audio_mask):
        if (video_mask is None) != (audio_mask is None):
            raise ValueError("video_mask and audio_mask must be given together")
        for name, tokens, mask in (
            ("video_mask", video, video_mask),
            ("audio_mask", audio, audio_mask),
        ):
            if mask is not None and mask.shape != tokens.shape[:2]:
                raise ValueError(
                    f"{name} covers {mask.shape} (samples, token times); expected "
                    f"{tokens.shape[:2]}"
                )

    def _unpatchify(self, video: Array, audio: Array, sizes: tuple[int, ...]):
        config = self.config
        rows, columns = (
            -(-size // patch)
            for size, patch in zip(sizes[1:], config.video_patch[1:], strict=True)
        )
        grid = video.reshape(*video.shape[:2], rows, columns, -1)
        dense = unpatchify(grid.astype(jnp.float32), config.video_patch)
        dense = dense[:, : sizes[0], : sizes[1], : sizes[2]]
        return dense, unpatchify(audio.astype(jnp.float32), config.audio_patch)


def _per_frame(mask, now: Condition, clean: Condition) -> Condition:
    """Return ``now`` for frames in ``mask``, or without one; else ``clean``."""
    return now if mask is None else jnp.where(mask[..., None], now, clean)


def _final_layer(width: int, patch: tuple[int, ...], channels: int, rngs: nnx.Rngs):
    features = 2 * channels
    for size in patch:
        features *= size
    return FinalLayer(width, features, rngs=rngs)

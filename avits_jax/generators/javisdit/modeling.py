"""VASTDiT3, JavisDiT's joint audio-video transformer (arXiv 2503.23377).

Latents are batch-first and channels-last. Levels are stacked and scanned. What does not
change while a prompt is denoised (keys and values of text and priors) is made once, by
`Transformer.prepare`.

Against the original: its prior attention mixes all samples of a batch, conditional and
unconditional ones alike (``prior_scope="batch"``); by default each sample sees its own
priors. Prior keys are not repeated per frame and position, which changes nothing. In
frame masks, the modulation is chosen per frame before it is applied.
"""

from typing import Literal, NamedTuple, get_args

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Bool, Float

from avits_jax.generators.javisdit.blocks import (
    Condition,
    Exchange,
    FinalLayer,
    KeyValue,
    Mlp,
    Modulation,
    PriorBlock,
    SelfBlock,
    Tokens,
)
from avits_jax.generators.javisdit.config import TransformerConfig
from avits_jax.nn.positions import embed_number, positions_1d, positions_2d
from avits_jax.nn.stacking import stack_layers

PriorScope = Literal["candidate", "batch"]
VideoLatents = Float[Array, "B T H W C"]
AudioLatents = Float[Array, "B T M C"]
_NUMBER_WIDTH = 256
_SELF_BLOCKS = ("video_spatial", "video_temporal", "audio_spatial", "audio_temporal")


# By the name of the self-attention block; arrays are [depth, R, ...].
TextContext = dict[str, KeyValue]
# By stream, for the spatial and for the temporal prior; arrays are [depth, R, ...].
PriorContext = dict[str, tuple[KeyValue, KeyValue]]


class Context(NamedTuple):
    """Keys and values of a prompt, constant over denoising steps.

    Attributes:
        text: of every text attention.
        text_mask: ``[R, L]`` True for tokens that are looked at, or None for all.
        priors: of every prior attention.
    """

    text: TextContext
    text_mask: Bool[Array, "R L"] | None
    priors: PriorContext


def couple_rows(priors: PriorContext) -> PriorContext:
    """Let every sample see the priors of all, as the original does."""

    def couple(array: Array) -> Array:
        return array.reshape(len(array), 1, -1, *array.shape[3:])

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
        return x @ kernel.reshape(-1, kernel.shape[-1]) + self.bias[...].astype(x.dtype)


def unpatchify(
    x: Float[Array, "B *grid F"], patch: tuple[int, ...]
) -> Float[Array, "B *space C"]:
    """Features (patch axes, channel), channel fastest, back to a dense array."""
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
        self.up = nnx.Linear(_NUMBER_WIDTH, width, rngs=rngs)
        self.down = nnx.Linear(width, width, rngs=rngs)

    def __call__(self, value: Float[Array, "*B"]) -> Float[Array, "*B D"]:
        wide = embed_number(value, _NUMBER_WIDTH).astype(self.up.kernel[...].dtype)
        return self.down(jax.nn.silu(self.up(wide)))


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
        """Keys and values of this level's text attentions."""
        return {
            name: getattr(self, name).text.prepare(texts[name.split("_")[0]])
            for name in _SELF_BLOCKS
        }

    def prepare_priors(self, spatial: Array, temporal: Array) -> PriorContext:
        """Keys and values of this level's prior attentions."""
        blocks = {"video": self.video_prior, "audio": self.audio_prior}
        return {
            stream: (block.spatial.prepare(spatial), block.temporal.prepare(temporal))
            for stream, block in blocks.items()
        }

    def __call__(
        self,
        video: Tokens,
        audio: Tokens,
        shared: dict[str, tuple[Modulation, Modulation]],
        rotary: Float[Array, " P"],
        context: Context,
    ) -> dict[str, Tokens]:
        """Outputs of all blocks by name; the last ones are ``exchange_*``."""
        streams = {"video": video, "audio": audio}
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
                )
        for stream in streams:
            name = f"{stream}_prior"
            outputs[name] = streams[stream] = getattr(self, name)(
                streams[stream], shared[stream][1], *context.priors[stream]
            )
        after = self.exchange(streams["video"], streams["audio"])
        outputs["exchange_video"], outputs["exchange_audio"] = after
        return outputs


class Transformer(nnx.Module):
    """VASTDiT3: predicts data minus noise for video and audio latents."""

    def __init__(self, config: TransformerConfig, *, rngs: nnx.Rngs):
        self.config = config
        width = config.width
        self.video_in = PatchEmbed(
            config.video_patch, config.video_channels, width, rngs=rngs
        )
        self.audio_in = PatchEmbed(
            config.audio_patch, config.audio_channels, width, rngs=rngs
        )
        self.time = NumberEmbed(width, rngs=rngs)
        self.fps = NumberEmbed(width, rngs=rngs)
        self.modulation = nnx.Linear(width, 6 * width, rngs=rngs)
        self.prior_modulation = nnx.Linear(width, 9 * width, rngs=rngs)
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
        """Dtype of the matrix products: that of the weights."""
        return self.modulation.kernel[...].dtype

    def prepare(
        self,
        text: Float[Array, "R L E"],
        text_mask: Bool[Array, "R L"] | None,
        spatial_prior: Float[Array, "P Ns Dp"],
        temporal_prior: Float[Array, "P Nt Dp"],
        prior_scope: PriorScope = "candidate",
    ) -> Context:
        """Make what stays the same while a prompt is denoised.

        Args:
            text: states of the text encoder. R rows serve B samples: sample b looks at
                row ``b % R``; likewise for the priors.
            text_mask: True for tokens that are looked at; None for all.
            spatial_prior: spatial prior tokens.
            temporal_prior: temporal prior tokens.
            prior_scope: "candidate": a sample sees its own row of priors. "batch": all
                samples see all rows, as in the original.

        Raises:
            ValueError: the number of prior tokens or the scope is not as configured.
        """
        if prior_scope not in get_args(PriorScope):
            raise ValueError(
                f"prior_scope is {prior_scope!r}; accepted are {get_args(PriorScope)}"
            )
        priors = self.prepare_priors(spatial_prior, temporal_prior)
        if prior_scope == "batch":
            priors = couple_rows(priors)
        return Context(self.prepare_text(text), text_mask, priors)

    def prepare_text(self, text: Float[Array, "R L E"]) -> TextContext:
        """Keys and values of all text attentions."""
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
        """Keys and values of all prior attentions, each row for itself.

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
        """Prior tokens at the width of the residual streams."""
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
        video_mask: Bool[Array, "B T"] | None = None,
        audio_mask: Bool[Array, "B Ta"] | None = None,
    ) -> tuple[VideoLatents, AudioLatents]:
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

        Returns:
            Velocities of video and audio, with twice the latents' channels: the second
            half is a learned variance that rectified flow does not use.

        Raises:
            ValueError: a patch does not divide the audio, a mask comes alone or does
                not fit.
        """
        return self.trace(
            video,
            audio,
            timesteps,
            context,
            fps=fps,
            height=height,
            width=width,
            video_mask=video_mask,
            audio_mask=audio_mask,
            keep_blocks=False,
        )[0]

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
        video_mask: Bool[Array, "B T"] | None = None,
        audio_mask: Bool[Array, "B Ta"] | None = None,
        keep_blocks: bool = True,
    ) -> tuple[tuple[VideoLatents, AudioLatents], dict[str, Array]]:
        """`__call__`, and the outputs of every embedder and block by name.

        Block outputs are ``[depth, B, T, S, D]``; there are none without
        ``keep_blocks``.
        """
        sizes = video.shape[1:4]
        video_tokens = self.embed_video(video, height, width)
        audio_tokens = self.embed_audio(audio)
        if audio_mask is not None:
            audio_mask = audio_mask[:, :: self.config.audio_patch[0]]
        self._check_masks(video_tokens, audio_tokens, video_mask, audio_mask)
        now = self.condition(timesteps, fps)
        clean = self.condition(jnp.zeros_like(timesteps), fps)
        shared = {
            "video": self.modulations(_per_frame(video_mask, now, clean)),
            "audio": self.modulations(_per_frame(audio_mask, now, clean)),
        }
        graph, weights = nnx.split(self.levels)

        def run_level(streams, level):
            one, text, priors = level
            within = Context(text, context.text_mask, priors)
            block = nnx.merge(graph, one)
            outputs = block(streams[0], streams[1], shared, self.rotary[...], within)
            after = (outputs["exchange_video"], outputs["exchange_audio"])
            return after, outputs if keep_blocks else None

        streams, blocks = jax.lax.scan(
            run_level,
            (video_tokens, audio_tokens),
            (weights, context.text, context.priors),
        )
        video_out = self.video_final(streams[0], now, clean, video_mask)
        audio_out = self.audio_final(streams[1], now, clean, audio_mask)
        kept = {
            "video_in": video_tokens,
            "audio_in": audio_tokens,
            "video_final": video_out,
            "audio_final": audio_out,
            **(blocks or {}),
        }
        return self._unpatchify(video_out, audio_out, sizes), kept

    def embed_video(self, video: VideoLatents, height: float, width: float) -> Tokens:
        """Patches of the video with their positions, ``[B, T, S, D]``."""
        config = self.config
        margins = [
            (0, -size % patch)
            for size, patch in zip(video.shape[1:4], config.video_patch, strict=True)
        ]
        padded = jnp.pad(video.astype(self.dtype), [(0, 0), *margins, (0, 0)])
        tokens = self.video_in(padded)
        rows, columns = tokens.shape[2:4]
        positions = positions_2d(
            rows,
            columns,
            config.width,
            scale=(height * width) ** 0.5 / config.base_size,
            base=round((rows * columns) ** 0.5),
        )
        tokens = tokens + jnp.asarray(positions, tokens.dtype)
        return tokens.reshape(*tokens.shape[:2], -1, config.width)

    def embed_audio(self, audio: AudioLatents) -> Tokens:
        """Patches of the sound with their positions, ``[B, T, S, D]``."""
        config = self.config
        sizes = zip(audio.shape[1:3], config.audio_patch, strict=True)
        if any(size % patch for size, patch in sizes):
            raise ValueError(
                f"audio has sizes {audio.shape[1:3]}; expected multiples of "
                f"{config.audio_patch}"
            )
        tokens = self.audio_in(audio.astype(self.dtype))
        positions = positions_1d(tokens.shape[2], config.width)
        return tokens + jnp.asarray(positions, tokens.dtype)

    def condition(
        self, timesteps: Float[Array, " B"], fps: Float[Array, " B"]
    ) -> Condition:
        """Embedded timestep plus embedded fps."""
        return (self.time(timesteps) + self.fps(fps))[:, None].astype(jnp.float32)

    def modulations(self, condition: Condition) -> tuple[Modulation, Modulation]:
        """Rows shared by all self-attention blocks, and by all prior blocks."""
        active = jax.nn.silu(condition).astype(self.dtype)
        shape = (*condition.shape[:2], -1, self.config.width)
        return (
            self.modulation(active).reshape(shape).astype(jnp.float32),
            self.prior_modulation(active).reshape(shape).astype(jnp.float32),
        )

    def _check_masks(self, video: Tokens, audio: Tokens, video_mask, audio_mask):
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

    def _unpatchify(self, video: Tokens, audio: Tokens, sizes: tuple[int, ...]):
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
    """``now`` for frames where ``mask`` is True or absent, ``clean`` for the others."""
    return now if mask is None else jnp.where(mask[..., None], now, clean)


def _final_layer(width: int, patch: tuple[int, ...], channels: int, rngs: nnx.Rngs):
    features = 2 * channels
    for size in patch:
        features *= size
    return FinalLayer(width, features, rngs=rngs)

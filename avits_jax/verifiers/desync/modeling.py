"""Synchformer: by how much are picture and sound of a clip apart?

Iashin et al., "Synchformer: Efficient Synchronization from Sparse Cues", ICASSP 2024. A
Motionformer with divided space-time attention reads the frames of short segments, an
Audio Spectrogram Transformer their sound, and a third transformer compares them.

Upstream: v-iashin/Synchformer, model/sync_model.py, model/modules/transformer.py,
model/modules/feat_extractors/visual/motionformer.py (with motionformer_src/ beside it)
and model/modules/feat_extractors/audio/ast.py (with hf_src/modeling_ast.py).
"""

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from avits_jax.nn.attention import attend
from avits_jax.nn.patches import patchify
from avits_jax.nn.stacking import scan_layers, stack_layers
from avits_jax.nn.vit import Block, Mlp, Projections, prepend
from avits_jax.verifiers.desync.config import SynchformerConfig

_VIDEO_EPSILON = 1e-6
_AUDIO_EPSILON = 1e-12
_HEAD_EPSILON = 1e-5


def _table(*shape: int, rngs: nnx.Rngs) -> nnx.Param:
    return nnx.Param(0.02 * jax.random.normal(rngs.params(), shape))


class Pool(nnx.Module):
    """One transformer block that gathers a set of tokens in a token of its own."""

    def __init__(
        self, width: int, heads: int, hidden: int, epsilon: float, *, rngs: nnx.Rngs
    ):
        self.cls = _table(1, width, rngs=rngs)
        self.block = Block(width, heads, hidden, epsilon, rngs=rngs)

    def __call__(self, x: Float[Array, "*B L D"]) -> Float[Array, "*B D"]:
        flat = x.reshape(-1, *x.shape[-2:])
        pooled = self.block(prepend(self.cls[...], flat), 1)
        return pooled.reshape(*x.shape[:-2], x.shape[-1])


class DividedAttention(Projections):
    """Attention along time or space alone; the class token sees and is seen by all."""

    def __call__(
        self, x: Float[Array, "B L D"], steps: int, *, along_time: bool
    ) -> Float[Array, "B L D"]:
        """Attend among tokens that share a place (along time) or a step (space).

        Args:
            x: the class token, then ``steps`` times as many tokens as there are places.
            steps: steps of time.
            along_time: attend along time at each place, else along space at each step.
        """
        query, key, value = self.split(x)
        cls = attend(query[:, :1], key, value)

        def grouped(part):
            grid = part[:, 1:].reshape(len(x), steps, -1, *part.shape[2:])
            grid = jnp.swapaxes(grid, 1, 2) if along_time else grid
            return grid.reshape(-1, *grid.shape[2:])

        def with_cls(part):
            rows = grouped(part)
            first = jnp.repeat(part[:, :1], len(rows) // len(x), axis=0)
            return jnp.concatenate([first, rows], 1)

        rest = attend(grouped(query), with_cls(key), with_cls(value))
        rest = rest.reshape(len(x), -1, *rest.shape[1:])
        rest = jnp.swapaxes(rest, 1, 2) if along_time else rest
        rest = rest.reshape(len(x), -1, *rest.shape[3:])
        return self.join(jnp.concatenate([cls, rest], 1))


class SpaceTimeBlock(nnx.Module):
    """Attention along time, then along space, then the MLP, each after its norm."""

    def __init__(self, config: SynchformerConfig, *, rngs: nnx.Rngs):
        width, heads = config.width, config.video_heads
        self.steps = config.video_steps
        self.norm_time = nnx.LayerNorm(width, epsilon=_VIDEO_EPSILON, rngs=rngs)
        self.time = DividedAttention(width, heads, rngs=rngs)
        self.norm_space = nnx.LayerNorm(width, epsilon=_VIDEO_EPSILON, rngs=rngs)
        self.space = DividedAttention(width, heads, rngs=rngs)
        self.norm_mlp = nnx.LayerNorm(width, epsilon=_VIDEO_EPSILON, rngs=rngs)
        self.mlp = Mlp(width, config.video_hidden, rngs=rngs)

    def __call__(self, x: Float[Array, "B L D"]) -> Float[Array, "B L D"]:
        x = x + self.time(self.norm_time(x), self.steps, along_time=True)
        x = x + self.space(self.norm_space(x), self.steps, along_time=False)
        return x + self.mlp(self.norm_mlp(x))


class VideoEncoder(nnx.Module):
    """Frames of a segment to one feature per frame pair."""

    def __init__(self, config: SynchformerConfig, *, rngs: nnx.Rngs):
        self.config = config
        width = config.width
        values = 3 * config.tubelet * config.patch_size**2
        self.embed = nnx.Linear(values, width, rngs=rngs)
        self.cls = _table(1, width, rngs=rngs)
        self.space = _table(config.patches + 1, width, rngs=rngs)
        self.time = _table(config.video_steps, width, rngs=rngs)
        self.blocks = stack_layers(
            lambda r: SpaceTimeBlock(config, rngs=r), config.video_depth, rngs
        )
        self.norm = nnx.LayerNorm(width, epsilon=_VIDEO_EPSILON, rngs=rngs)
        self.pool = Pool(
            width, config.video_heads, config.video_hidden, _VIDEO_EPSILON, rngs=rngs
        )

    def tokens(self, frames: Float[Array, "B T H W 3"]) -> Float[Array, "B L D"]:
        """Embed class token and patches with their places in space and time."""
        batch, steps = len(frames), self.config.video_steps
        frames = frames.astype(self.embed.kernel.dtype)
        x = patchify(frames, self.config.patch_size)
        x = x.reshape(batch, steps, self.config.tubelet, *x.shape[2:])
        x = jnp.swapaxes(x, 2, 3).reshape(batch, steps, self.config.patches, -1)
        space, time = self.space[...], self.time[...]
        places = space[1:] + time[:, None]
        x = self.embed(x) + places.astype(x.dtype)
        return prepend(self.cls[...] + space[:1], x.reshape(batch, -1, x.shape[-1]))

    def __call__(self, frames: Float[Array, "B T H W 3"]) -> Float[Array, "B t D"]:
        """Return features of segments.

        Args:
            frames: ``num_frames`` frames in [-1, 1].
        """
        x = scan_layers(self.blocks, self.tokens(frames))
        x = self.norm(x[:, 1:])
        return self.pool(x.reshape(len(x), self.config.video_steps, -1, x.shape[-1]))


class AudioEncoder(nnx.Module):
    """Spectrogram of a segment to one feature per 0.1 s."""

    def __init__(self, config: SynchformerConfig, *, rngs: nnx.Rngs):
        self.config = config
        width, heads, hidden = config.width, config.audio_heads, config.audio_hidden
        self.embed = nnx.Linear(config.mel_patch**2, width, rngs=rngs)
        self.cls = _table(2, width, rngs=rngs)
        places = 2 + config.mel_rows * config.audio_steps
        self.position = _table(places, width, rngs=rngs)
        self.blocks = stack_layers(
            lambda r: Block(width, heads, hidden, _AUDIO_EPSILON, rngs=r),
            config.audio_depth,
            rngs,
        )
        self.norm = nnx.LayerNorm(width, epsilon=_AUDIO_EPSILON, rngs=rngs)
        self.pool = Pool(width, heads, hidden, _VIDEO_EPSILON, rngs=rngs)

    def __call__(self, mel: Float[Array, "B M T"]) -> Float[Array, "B t D"]:
        """Return features of segments.

        Args:
            mel: normalised log-mel spectrograms, ``mel_bins`` by ``mel_frames``.
        """
        config = self.config
        mel = mel.astype(self.embed.kernel.dtype)
        x = self.embed(patchify(mel[..., None], config.mel_patch, config.mel_stride))
        x = prepend(self.cls[...], x) + self.position[...].astype(x.dtype)
        x = self.norm(scan_layers(self.blocks, x))[:, 2:]
        x = x.reshape(len(x), config.mel_rows, config.audio_steps, -1)
        return self.pool(jnp.swapaxes(x, 1, 2))


class Synchformer(nnx.Module):
    """Both encoders and the transformer that compares them."""

    def __init__(self, config: SynchformerConfig, *, rngs: nnx.Rngs):
        self.config = config
        width = config.width
        self.video = VideoEncoder(config, rngs=rngs)
        self.audio = AudioEncoder(config, rngs=rngs)
        self.video_out = nnx.Linear(width, width, rngs=rngs)
        self.audio_out = nnx.Linear(width, width, rngs=rngs)
        self.video_norm = nnx.LayerNorm(width, epsilon=_HEAD_EPSILON, rngs=rngs)
        self.audio_norm = nnx.LayerNorm(width, epsilon=_HEAD_EPSILON, rngs=rngs)
        self.offset = _table(1, width, rngs=rngs)
        self.between = _table(1, width, rngs=rngs)
        length = 2 + config.num_segments * (config.video_steps + config.audio_steps)
        self.position = _table(length, width, rngs=rngs)
        heads, hidden = config.head_heads, config.head_hidden
        self.blocks = stack_layers(
            lambda r: Block(width, heads, hidden, _HEAD_EPSILON, rngs=r),
            config.head_depth,
            rngs,
        )
        self.norm = nnx.LayerNorm(width, epsilon=_HEAD_EPSILON, rngs=rngs)
        self.head = nnx.Linear(width, config.num_classes, rngs=rngs)

    def video_features(
        self, frames: Float[Array, "B S T H W 3"]
    ) -> Float[Array, "B S t D"]:
        """Return features of every segment; see `VideoEncoder`."""
        x = self.video(frames.reshape(-1, *frames.shape[2:]))
        return x.reshape(*frames.shape[:2], *x.shape[1:])

    def audio_features(self, mel: Float[Array, "B S M T"]) -> Float[Array, "B S t D"]:
        """Return features of every segment; see `AudioEncoder`."""
        x = self.audio(mel.reshape(-1, *mel.shape[2:]))
        return x.reshape(*mel.shape[:2], *x.shape[1:])

    def compare(
        self, video: Float[Array, "B S t D"], audio: Float[Array, "B S u D"]
    ) -> Float[Array, "B C"]:
        """Return logits of the offsets, of ``num_segments`` segments' features."""
        batch, width = len(video), video.shape[-1]
        seen = self.video_norm(self.video_out(video.reshape(batch, -1, width)))
        heard = self.audio_norm(self.audio_out(audio.reshape(batch, -1, width)))
        halves = [
            prepend(self.offset[...], seen),
            prepend(self.between[...], heard),
        ]
        x = jnp.concatenate(halves, 1)
        x = scan_layers(self.blocks, x + self.position[...].astype(x.dtype))
        return self.head(self.norm(x[:, 0]).astype(jnp.float32))

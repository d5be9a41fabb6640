"""ImageBind's passes over a population: every frame and every sound once."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from avits_jax.networks.imagebind.config import ImageBindConfig
from avits_jax.networks.imagebind.modeling import ImageBind
from avits_jax.sampling.chunks import even_batch, in_batches
from avits_jax.verifiers.failures import broken, failed_as_nan
from avits_jax.verifiers.imagebind.frames import global_clips
from avits_jax.verifiers.imagebind.modes import Mode
from avits_jax.verifiers.imagebind.scores import Windows

# Frames at once on a CPU, whose caches more would leave: tools/bench_frames.py.
CPU_FRAMES = 4


def embed_video(
    model: ImageBind,
    video: Float[Array, "N F H W 3"],
    *,
    side: int,
    mode: Mode,
    stills: np.ndarray,
    pairs: np.ndarray,
    frame_batch: int,
    candidate_batch: int | None,
) -> tuple[Float[Array, "N S E"], Float[Array, "N C E"]]:
    """Embed single frames and short clips in one pass.

    All of a video that holds NaN or infinity, in a frame that is looked at or not, are
    NaN.
    Pixels are prepared in float32, and only of the candidates that are worked on.

    Args:
        model: the encoders.
        video: in [0, 1].
        side: pixels of a square frame's side.
        mode: how pixels are read.
        stills: frames that are embedded alone; may be empty.
        pairs: ``[P, 2]`` frames of the clips, each seen through three crops; may be
            empty.
        frame_batch: frames, or clips, that go through the trunk at once on an
            accelerator; on a CPU at most `CPU_FRAMES` do.
        candidate_batch: candidates that are worked on at once; None for as many as
            fill a batch of frames.
    """

    def see(video):
        levels = mode.levels(video.astype(jnp.float32))
        seen = []
        if len(stills):
            chosen = levels if len(stills) == levels.shape[1] else levels[:, stills]
            seen.append(mode.frames(chosen, side)[:, :, None])
        if len(pairs):
            seen.append(global_clips(levels, pairs, side))
        tokens = [model.vision.tokens(x.reshape(-1, *x.shape[2:])) for x in seen]
        tokens = [x.reshape(len(video), -1, *x.shape[1:]) for x in tokens]
        flat = jnp.concatenate(tokens, 1).reshape(-1, *tokens[0].shape[2:])
        embedded = _embed(model, flat, frame_batch)
        embedded = embedded.reshape(len(video), -1, embedded.shape[-1])
        return failed_as_nan(embedded, broken(video))

    if candidate_batch is None:
        candidate_batch = max(frame_batch // max(len(stills), 1), 1)
    together = in_batches(see, video, candidate_batch)
    return together[:, : len(stills)], together[:, len(stills) :]


def _embed(
    model: ImageBind, tokens: Float[Array, "B L D"], frame_batch: int
) -> Float[Array, "B E"]:
    """Embed frames and clips, as many at once as suit the device."""

    def embed(tokens: Float[Array, "B L D"], most: int) -> Float[Array, "B E"]:
        return in_batches(model.vision.embed, tokens, even_batch(len(tokens), most))

    if min(frame_batch, len(tokens)) <= CPU_FRAMES:
        return embed(tokens, frame_batch)
    return jax.lax.platform_dependent(
        tokens,
        cpu=functools.partial(embed, most=CPU_FRAMES),
        default=functools.partial(embed, most=frame_batch),
    )


def embed_sound(
    model: ImageBind,
    audio: Float[Array, "N C S"],
    windows: Windows,
    *,
    mode: Mode,
    config: ImageBindConfig,
    batch: int,
) -> tuple[Float[Array, "N E"], Float[Array, "N W E"]]:
    """Embed the whole sound, and each window.

    A window is exactly one clip of the audio encoder, so the original's three equal
    clips of it are embedded once. A single window is the whole sound. All of a sound
    that holds NaN or infinity are NaN.

    Args:
        model: the encoders.
        audio: at 16 kHz.
        windows: ranges of samples, all of 2 s if there are several.
        mode: how sound is read.
        config: sizes of the encoders.
        batch: clips of sound that go through the encoder at once.
    """
    size = config.mel_bins, config.mel_frames
    several = windows if len(windows) > 1 else ()
    heard = mode.hear(audio, several, *size)
    flat = heard.pictures.reshape(-1, *size)
    embedded = in_batches(model.audio, flat, even_batch(len(flat), batch))
    embedded = embedded.reshape(*heard.pictures.shape[:2], -1)
    embedded = failed_as_nan(embedded, broken(audio))
    whole = jnp.mean(embedded[:, np.array(heard.whole)], 1)
    if not several:
        return whole, whole[:, None]
    return whole, embedded[:, np.array(heard.windows)]

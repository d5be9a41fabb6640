"""All of ImageBind's scores of a population from one pass through the towers."""

from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from avits_jax.nn.chunking import in_batches
from avits_jax.types import Media, Scores
from avits_jax.verifiers.imagebind import scores, sound
from avits_jax.verifiers.imagebind.config import ImageBindConfig
from avits_jax.verifiers.imagebind.frames import global_clips
from avits_jax.verifiers.imagebind.modeling import ImageBind
from avits_jax.verifiers.imagebind.modes import DEFAULT, Mode


class ImageBindScores(NamedTuple):
    """Cosines in [-1, 1], one per candidate; higher is better.

    Attributes:
        javis_score: each window's worst frames against its sound.
        avh_score: all frames against the whole sound.
        av_ib: short clips of the video against the whole sound.
        ta_ib: text against the whole sound.
        tv_ib: text against short clips of the video.
    """

    javis_score: Scores
    avh_score: Scores
    av_ib: Scores
    ta_ib: Scores
    tv_ib: Scores


def _embed_frames(
    model: ImageBind, clips: Float[Array, "N K T S S 3"], size: int
) -> Float[Array, "N K E"]:
    flat = clips.reshape(-1, *clips.shape[2:])
    embedded = in_batches(model.vision, flat, size)
    return embedded.reshape(*clips.shape[:2], -1)


def _embed_sound(
    model: ImageBind,
    audio: Float[Array, "N C S"],
    windows: scores.Windows,
    mode: Mode,
    config: ImageBindConfig,
) -> tuple[Float[Array, "N E"], Float[Array, "N W E"]]:
    """Embeddings of the whole sound and of each window, in one batch.

    A window is exactly one clip of the audio tower, so the original's three equal clips
    of it are embedded once. A single window is the whole sound.
    """
    size = config.mel_bins, config.mel_frames
    whole = mode.pictures(audio, *size)
    count, pictures = whole.shape[1], [whole]
    if len(windows) > 1:
        cut = sound.mel_pictures(audio, windows, *size, in_place=mode.in_place)
        pictures.append(cut)
    together = jnp.concatenate(pictures, 1)
    embedded = model.audio(together.reshape(-1, *size))
    embedded = embedded.reshape(*together.shape[:2], -1)
    mean = jnp.mean(embedded[:, :count], 1)
    return mean, embedded[:, count:] if len(windows) > 1 else mean[:, None]


def score_clips(
    model: ImageBind,
    media: Media,
    ids: Int[Array, " L"],
    *,
    config: ImageBindConfig,
    fps: float,
    sample_rate: int,
    mode: Mode = DEFAULT,
    frame_batch: int = 64,
) -> ImageBindScores:
    """Score every candidate against its own sound and one text.

    Args:
        model: the towers.
        media: video ``[N, F, H, W, 3]`` in [0, 1]; audio ``[N, S]`` or ``[N, C, S]`` in
            [-1, 1].
        ids: token ids of the text, from `tokenizer.encode`.
        config: sizes of the towers.
        fps: frames per second of the video.
        sample_rate: Hz of the audio.
        mode: how clips are read; see `modes`.
        frame_batch: frames that go through the vision tower at once.

    Returns:
        Five scores per candidate; NaN where a clip holds NaN.
    """
    side = config.image_size
    levels = mode.levels(media.video)
    audio = media.audio if media.audio.ndim == 3 else media.audio[:, None]
    audio = mode.audio(audio, sample_rate)
    video_windows, audio_windows = scores.javis_windows(
        levels.shape[1], audio.shape[-1], mode.fps or fps, sound.SAMPLE_RATE
    )
    stills = mode.frames(levels, side)[:, :, None]
    pairs = mode.pairs(levels.shape[1], fps)
    clips = global_clips(levels, pairs, side)
    frames = _embed_frames(model, stills, frame_batch)
    video = jnp.mean(_embed_frames(model, clips, frame_batch), 1)
    whole, windows = _embed_sound(model, audio, audio_windows, mode, config)
    text = model.text(ids[None])
    return ImageBindScores(
        javis_score=scores.javis_score(frames, windows, video_windows),
        avh_score=scores.avh_score(frames, whole),
        av_ib=scores.cosine(video, whole),
        ta_ib=scores.cosine(text, whole),
        tv_ib=scores.cosine(text, video),
    )

"""Sizes of clips and of their latents, for everything that JavisDiT offers.

Upstream: JavisVerse/JavisDiT at b505b37, javisdit/datasets/aspect.py (get_image_size,
get_num_frames).
"""

import json
from functools import cache
from importlib import resources
from typing import NamedTuple

from avits_jax.generators.javisdit.audio_vae import AudioVaeConfig
from avits_jax.generators.javisdit.config import TransformerConfig
from avits_jax.generators.javisdit.video_vae import VideoVaeConfig

FPS = 24
_FRAMES_PER_2S = 51
DURATIONS = {
    **{f"{2**k}x": _FRAMES_PER_2S * 2**k for k in range(5)},
    **{f"{2 * 2**k}s": _FRAMES_PER_2S * 2**k for k in range(5)},
}
# Height over width as the original writes it for some resolutions.
_DECIMALS = {
    "3:8": "0.38",
    "9:21": "0.43",
    "12:25": "0.48",
    "1:2": "0.50",
    "9:17": "0.53",
    "27:50": "0.54",
    "9:16": "0.56",
    "5:8": "0.62",
    "2:3": "0.67",
    "3:4": "0.75",
    "1:1": "1.00",
    "4:3": "1.33",
    "3:2": "1.50",
    "16:9": "1.78",
    "17:9": "1.89",
    "2:1": "2.00",
    "50:27": "2.08",
}
_RATIOS = {decimal: ratio for ratio, decimal in _DECIMALS.items()}
# The sound is rounded up to whole multiples of so many latent rows.
_AUDIO_ROWS = 8


class ClipSizes(NamedTuple):
    """Sizes of one clip.

    Attributes:
        height: asked for, pixels; the decoded clip is ``decoded_height`` high.
        width: asked for, pixels.
        num_frames: of the clip.
        video_latent: frames, rows, columns and channels.
        video_tokens: latent frames, and tokens per frame.
        decoded_height: whole latent rows only.
        decoded_width: whole latent columns only.
        mel_rows: of the spectrogram that is decoded.
        audio_latent: time steps, mel columns and channels.
        audio_tokens: time steps, and tokens per time step.
        decoded_samples: of the waveform that the vocoder makes.
        num_samples: that are kept of it.
    """

    height: int
    width: int
    num_frames: int
    video_latent: tuple[int, int, int, int]
    video_tokens: tuple[int, int]
    decoded_height: int
    decoded_width: int
    mel_rows: int
    audio_latent: tuple[int, int, int]
    audio_tokens: tuple[int, int]
    decoded_samples: int
    num_samples: int


@cache
def _table() -> dict[str, dict[str, tuple[int, int]]]:
    text = resources.files(__package__).joinpath("sizes.json").read_text("utf-8")
    return {
        resolution: {ratio: (height, width) for ratio, (height, width) in rows.items()}
        for resolution, rows in json.loads(text).items()
    }


def resolutions() -> tuple[str, ...]:
    """Return the names of all resolutions."""
    return tuple(_table())


def aspect_ratios(resolution: str) -> tuple[str, ...]:
    """Return the aspect ratios (height to width) of a resolution.

    Raises:
        ValueError: there is no such resolution.
    """
    if resolution not in _table():
        raise ValueError(
            f"resolution is {resolution!r}; supported are {', '.join(_table())}"
        )
    return tuple(_table()[resolution])


def image_size(resolution: str, aspect_ratio: str) -> tuple[int, int]:
    """Return height and width in pixels.

    Args:
        resolution: one of `resolutions`.
        aspect_ratio: one of `aspect_ratios` of it: "9:16" is wide, "16:9" is high;
            "0.56" is another name of "9:16", and so on.

    Raises:
        ValueError: either is not supported; the message lists what is.
    """
    supported = aspect_ratios(resolution)
    for names in ({}, _DECIMALS, _RATIOS):
        name = names.get(aspect_ratio, aspect_ratio)
        if name in supported:
            return _table()[resolution][name]
    raise ValueError(
        f"aspect_ratio is {aspect_ratio!r}; {resolution} supports "
        f"{', '.join(supported)}"
    )


def frame_count(duration: str | int) -> int:
    """Return the frames of a duration ("2s", "4s", "2x", ...) or a number of frames.

    Raises:
        ValueError: neither a known duration nor a positive whole number.
    """
    if isinstance(duration, str) and duration in DURATIONS:
        return DURATIONS[duration]
    text = str(duration)
    if not text.isdecimal() or int(text) < 1:
        raise ValueError(
            f"duration is {duration!r}; supported are {', '.join(DURATIONS)} or a "
            "number of frames"
        )
    return int(text)


def clip_sizes(
    height: int,
    width: int,
    num_frames: int,
    *,
    fps: float = FPS,
    transformer: TransformerConfig | None = None,
    video_vae: VideoVaeConfig | None = None,
    audio_vae: AudioVaeConfig | None = None,
) -> ClipSizes:
    """Return the sizes of everything between noise and clip.

    Args:
        height: pixels.
        width: pixels.
        num_frames: frames.
        fps: frames per second; the sound lasts ``num_frames / fps`` seconds.
        transformer: None for that of JavisDiT v0.1; likewise the others.
        video_vae: the video autoencoder.
        audio_vae: the sound autoencoder.

    Raises:
        ValueError: the clip is smaller than one latent pixel, or has no frame.
    """
    transformer = transformer or TransformerConfig()
    video_vae, audio_vae = video_vae or VideoVaeConfig(), audio_vae or AudioVaeConfig()
    factor = video_vae.factor
    if min(height, width) < factor or num_frames < 1:
        raise ValueError(
            f"clip is {num_frames} frames of {height} x {width}; expected at least 1 "
            f"of {factor} x {factor}"
        )
    rows, columns = height // factor, width // factor
    latent_frames = video_vae.latent_frames(num_frames)
    steps, patch_rows, patch_columns = transformer.video_patch
    vocoder = audio_vae.vocoder
    seconds = num_frames / fps
    mel_rows = _round_up(
        int(seconds / (vocoder.hop / vocoder.sample_rate)),
        audio_vae.factor * _AUDIO_ROWS,
    )
    audio_steps = mel_rows // audio_vae.factor
    mel_columns = vocoder.num_mels // audio_vae.factor
    return ClipSizes(
        height,
        width,
        num_frames,
        (latent_frames, rows, columns, transformer.video_channels),
        (
            -(-latent_frames // steps),
            -(-rows // patch_rows) * -(-columns // patch_columns),
        ),
        rows * factor,
        columns * factor,
        mel_rows,
        (audio_steps, mel_columns, transformer.audio_channels),
        (
            audio_steps // transformer.audio_patch[0],
            mel_columns // transformer.audio_patch[1],
        ),
        vocoder.num_samples(mel_rows),
        int(seconds * vocoder.sample_rate),
    )


def _round_up(value: int, step: int) -> int:
    """Return the smallest positive multiple of ``step`` not below ``value``."""
    return max(1, -(-value // step)) * step

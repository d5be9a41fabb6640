"""Write a clip as an mp4 that browsers and phones play."""

import math
import os
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Array, Shaped

from avits_jax.files.atomic import replacing
from avits_jax.media.resampling import resample_audio

if TYPE_CHECKING:
    from av.container import OutputContainer

# Players time the end of a clip by its last pictures, and at 8 fps one picture is
# 125 ms: some skip it when they loop. Repeated pictures cost next to nothing.
_PLAYABLE_FPS = 24
_PLAYABLE_SIDE = 512
_BROWSER_RATES = (8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000)
_BT709, _LIMITED_RANGE = 1, 1


def write_clip(
    path: str | os.PathLike[str],
    video: Shaped[Array | np.ndarray, "F H W 3"],
    audio: Shaped[Array | np.ndarray, "*C S"],
    *,
    fps: float,
    sample_rate: int,
    scale: int | None = None,
    comment: str = "",
) -> Path:
    """Write H.264 (yuv420p) and AAC with the index in front, atomically.

    Picture and sound both start at time zero: the AAC encoder's leading padding gets
    negative timestamps, which the edit list of the file hides. Pictures slower than 24
    per second are repeated a whole number of times; odd sides repeat their last row or
    column. Sample rates outside AAC's usual ones become 48 kHz.

    Args:
        path: the file; its folder must exist.
        video: float in [0, 1] (values outside are clipped) or uint8.
        audio: ``[S]`` or ``[C, S]``, one or two channels, in [-1, 1].
        fps: pictures per second.
        sample_rate: Hz.
        scale: whole factor by which pixels are drawn larger; None draws small clips at
            up to 512 pixels, since a player's smoothing would blur them.
        comment: what the file's metadata say of it.

    Returns:
        ``path``.

    Raises:
        ValueError: an argument has a wrong shape or range, or holds NaN.
        OSError: the file cannot be written.
    """
    import av

    pictures = _checked_video(np.asarray(video))
    sound = _checked_audio(np.asarray(audio))
    rate = _checked_rate(fps, sample_rate, scale)
    side = max(pictures.shape[1:3])
    factor = max(1, _PLAYABLE_SIDE // side) if scale is None else scale
    if sample_rate not in _BROWSER_RATES:
        sound, sample_rate = resample_audio(sound, sample_rate, 48_000), 48_000
    with (
        replacing(path) as temporary,
        av.open(
            temporary, "w", format="mp4", options={"movflags": "+faststart"}
        ) as file,
    ):
        if comment:
            file.metadata["comment"] = comment
        # Both streams must exist before the first packet writes the header.
        video_stream = _add_video(file, pictures, rate, factor)
        audio_stream = _add_audio(file, len(sound), sample_rate)
        for picture in _frames(pictures, rate, factor):
            file.mux(video_stream.encode(picture))
        file.mux(video_stream.encode(None))
        file.mux(audio_stream.encode(_sound_frame(sound, sample_rate)))
        file.mux(audio_stream.encode(None))
    return Path(path)


def _checked_video(video: np.ndarray) -> np.ndarray:
    if video.ndim != 4 or video.shape[-1] != 3 or 0 in video.shape:
        raise ValueError(f"video must be [F, H, W, 3], got shape {video.shape}")
    if video.dtype == np.uint8:
        return video
    values = video.astype(np.float32)
    if not np.isfinite(values).all():
        raise ValueError("video holds NaN or infinite values")
    return np.rint(np.clip(values, 0, 1) * 255).astype(np.uint8)


def _checked_audio(audio: np.ndarray) -> np.ndarray:
    channels = np.atleast_2d(audio.astype(np.float32))
    if channels.ndim != 2 or len(channels) > 2 or channels.shape[1] == 0:
        raise ValueError(
            f"audio must be [S] or [C, S] with one or two channels, got {audio.shape}"
        )
    if not np.isfinite(channels).all():
        raise ValueError("audio holds NaN or infinite values")
    return np.clip(channels, -1, 1)


def _checked_rate(fps: float, sample_rate: int, scale: int | None) -> Fraction:
    if not (math.isfinite(fps) and 0 < fps <= 240):
        raise ValueError(f"fps must be above 0 and at most 240, got {fps}")
    if sample_rate < 1:
        raise ValueError(f"sample_rate must be at least 1 Hz, got {sample_rate}")
    if scale is not None and scale < 1:
        raise ValueError(f"scale must be at least 1, got {scale}")
    return Fraction(fps).limit_denominator(1001)


def _repeats(rate: Fraction) -> int:
    return 1 if rate >= _PLAYABLE_FPS else math.ceil(_PLAYABLE_FPS / rate)


def _add_video(
    file: "OutputContainer", pictures: np.ndarray, rate: Fraction, factor: int
) -> Any:
    # Without B-frames, players that ignore edit lists show the first picture in time.
    # The quality is crf's; a slower preset takes twice the time for 7% of the size.
    options = {"crf": "16", "preset": "veryfast", "bf": "0"}
    stream = file.add_stream("libx264", rate=rate * _repeats(rate), options=options)
    height, width = (side * factor for side in pictures.shape[1:3])
    stream.height, stream.width = height + height % 2, width + width % 2
    stream.pix_fmt = "yuv420p"
    # Untagged colours are guessed from the picture's size, differently by each player.
    context = stream.codec_context
    context.colorspace = context.color_primaries = context.color_trc = _BT709
    context.color_range = _LIMITED_RANGE
    return stream


def _add_audio(file: "OutputContainer", num_channels: int, sample_rate: int) -> Any:
    stream = file.add_stream("aac", rate=sample_rate)
    stream.layout = "mono" if num_channels == 1 else "stereo"
    # AAC holds at most 6144 bits for 1024 samples of a channel.
    stream.bit_rate = min(192_000, 6 * sample_rate * num_channels)
    return stream


def _frames(pictures: np.ndarray, rate: Fraction, factor: int) -> Iterator[Any]:
    import av

    repeats = _repeats(rate)
    for index, picture in enumerate(pictures):
        large = picture.repeat(factor, axis=0).repeat(factor, axis=1)
        odd = [(0, side % 2) for side in large.shape[:2]] + [(0, 0)]
        large = np.ascontiguousarray(np.pad(large, odd, mode="edge"))
        frame = av.VideoFrame.from_ndarray(large, "rgb24").reformat(
            format="yuv420p", dst_colorspace=_BT709, dst_color_range=_LIMITED_RANGE
        )
        for repeat in range(repeats):
            frame.pts = index * repeats + repeat
            frame.time_base = 1 / (rate * repeats)
            yield frame


def _sound_frame(sound: np.ndarray, sample_rate: int) -> Any:
    import av

    layout = "mono" if len(sound) == 1 else "stereo"
    frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(sound), "fltp", layout)
    frame.sample_rate, frame.pts = sample_rate, 0
    frame.time_base = Fraction(1, sample_rate)
    return frame

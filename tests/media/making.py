"""Make media files of awkward kinds with PyAV, without the package's own writer."""

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

MILLISECOND = Fraction(1, 1000)


def flashes(times: Sequence[float], lit: int, side: tuple[int, int]) -> np.ndarray:
    """Black pictures, one per time, of which number ``lit`` is white."""
    video = np.zeros((len(times), *side, 3), np.uint8)
    video[lit] = 255
    return video


def click(at: float, seconds: float, rate: int, channels: int = 1) -> np.ndarray:
    """Silence with a 5 ms burst at ``at`` seconds, ``[C, S]``."""
    audio = np.zeros((channels, round(seconds * rate)), np.float32)
    begin = round(at * rate)
    audio[:, begin : begin + rate // 200] = 0.8
    return audio


def make_file(
    path: Path,
    video: np.ndarray | None,
    times: Sequence[float],
    audio: np.ndarray | None,
    *,
    rate: int = 48_000,
    layout: str = "mono",
    codecs: tuple[str, str] = ("libx264", "aac"),
    pix_fmt: str = "yuv420p",
    sound_start: float = 0.0,
    rotation: int = 0,
) -> Path:
    """Encode pictures at the given times (seconds) and sound from ``sound_start``."""
    with av.open(path, "w") as file:
        streams = []
        if video is not None:
            stream = file.add_stream(codecs[0], rate=30)
            stream.height, stream.width = video.shape[1:3]
            stream.pix_fmt = pix_fmt
            stream.codec_context.time_base = MILLISECOND
            if rotation:
                stream.set_display_rotation(rotation)
            streams.append((stream, _pictures(video, times)))
        if audio is not None:
            sound = file.add_stream(codecs[1], rate=rate)
            sound.layout = layout
            streams.append((sound, [_sound(audio, rate, layout, sound_start)]))
        for stream, frames in streams:
            for frame in [*frames, None]:
                file.mux(stream.encode(frame))
    return path


def _pictures(video: np.ndarray, times: Sequence[float]) -> list[av.VideoFrame]:
    frames = [av.VideoFrame.from_ndarray(picture, "rgb24") for picture in video]
    for frame, time in zip(frames, times, strict=True):
        frame.pts, frame.time_base = round(time * 1000), MILLISECOND
    return frames


def _sound(audio: np.ndarray, rate: int, layout: str, start: float) -> av.AudioFrame:
    frame = av.AudioFrame.from_ndarray(audio, "fltp", layout)
    frame.sample_rate, frame.time_base = rate, Fraction(1, rate)
    frame.pts = round(start * rate)
    return frame

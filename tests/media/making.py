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


def bar(count: int) -> np.ndarray:
    """Pictures of 64x128 on which a light bar moves two pixels a picture."""
    video = np.full((count, 64, 128, 3), 20, np.uint8)
    for index, picture in enumerate(video):
        picture[:, 2 * index : 2 * index + 12] = 235
    return video


def bar_places(video: np.ndarray) -> list[int]:
    """Numbers of the pictures of `bar` that are seen."""
    rows = video[:, 32, :, 0].astype(float)
    ones = np.ones(12)
    return [int(np.convolve(row, ones, "valid").argmax()) // 2 for row in rows]


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
    options: dict[str, dict[str, str]] | None = None,
    colors: dict[str, int] | None = None,
    aspect: Fraction | None = None,
) -> Path:
    """Encode pictures at the given times (seconds) and sound from ``sound_start``.

    ``options`` are those of the "file" and of the "pictures", ``colors`` what FFmpeg
    calls the colour space and range, ``aspect`` the pixels' width by their height.
    """
    options = options or {}
    with av.open(path, "w", options=options.get("file", {})) as file:
        streams = []
        if video is not None:
            wanted = options.get("pictures", {})
            stream = file.add_stream(codecs[0], rate=30, options=wanted)
            stream.height, stream.width = video.shape[1:3]
            stream.pix_fmt = pix_fmt
            stream.codec_context.time_base = MILLISECOND
            if aspect:
                stream.codec_context.sample_aspect_ratio = aspect
            for name, value in (colors or {}).items():
                setattr(stream.codec_context, name, value)
            frames = _pictures(video, times)
            if colors:
                frames = [_converted(frame, pix_fmt, colors) for frame in frames]
            streams.append((stream, frames))
        if audio is not None:
            sound = file.add_stream(codecs[1], rate=rate)
            sound.layout = layout
            streams.append((sound, [_sound(audio, rate, layout, sound_start)]))
        for stream, frames in streams:
            for frame in [*frames, None]:
                file.mux(stream.encode(frame))
    return path


def set_matrix(path: Path, matrix: tuple[int, int, int, int]) -> None:
    """Let an mp4, whose first track is of pictures, turn or mirror them."""

    def words(matrix: Sequence[int]) -> bytes:
        (a, b, c, d), one = matrix, 65_536
        whole = a * one, b * one, 0, c * one, d * one, 0, 0, 0, 2**30
        return np.array(whole, ">i4").tobytes()

    data, plain = path.read_bytes(), words((1, 0, 0, 1))
    place = data.index(plain, data.index(plain) + 1)  # the first is that of the film
    path.write_bytes(data[:place] + words(matrix) + data[place + len(plain) :])


def _pictures(video: np.ndarray, times: Sequence[float]) -> list[av.VideoFrame]:
    frames = [av.VideoFrame.from_ndarray(picture, "rgb24") for picture in video]
    for frame, time in zip(frames, times, strict=True):
        frame.pts, frame.time_base = round(time * 1000), MILLISECOND
    return frames


def _converted(
    frame: av.VideoFrame, pix_fmt: str, colors: dict[str, int]
) -> av.VideoFrame:
    names = {f"dst_{name}": value for name, value in colors.items()}
    return frame.reformat(format=pix_fmt, **names)


def _sound(audio: np.ndarray, rate: int, layout: str, start: float) -> av.AudioFrame:
    frame = av.AudioFrame.from_ndarray(audio, "fltp", layout)
    frame.sample_rate, frame.time_base = rate, Fraction(1, rate)
    frame.pts = round(start * rate)
    return frame

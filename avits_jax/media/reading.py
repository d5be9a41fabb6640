"""Read any video file that FFmpeg reads, with picture and sound on one clock."""

import math
import os
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from avits_jax.media.clip import Clip

_NOTED_OFFSET = 0.05  # seconds; smaller offsets between picture and sound go unnoticed
_NOTED_LOSS = 0.5  # seconds; declared lengths are rarely exact
_INTEGER_SCALES = {"u1": 128.0, "i2": 32768.0, "i4": 2147483648.0}


class _Picture(NamedTuple):
    time: float
    duration: float
    pixels: np.ndarray  # [H, W, 3] uint8


class _Sound(NamedTuple):
    time: float
    samples: np.ndarray  # [C, S] float32
    rate: int
    layout: str


class _Tracks(NamedTuple):
    pictures: list[_Picture]
    sounds: list[_Sound]
    damaged: bool
    cut: bool  # there are pictures beyond the limit


def read_clip(
    path: str | os.PathLike[str],
    *,
    max_seconds: float | None = 30.0,
    needs_sound: bool = True,
) -> Clip:
    """Read the first picture track and the first sound track of a media file.

    Whatever container, codec, size, rate and channels FFmpeg decodes are accepted.
    Time zero is the first picture: sound that starts earlier is cut there, sound that
    starts later is preceded by silence. Pictures at a variable rate are made constant
    by taking at each moment the picture that a player would show. Turned (phone)
    pictures are set upright and pixels made square.

    Args:
        path: the file.
        max_seconds: read no more than this, since pictures are held in memory
            uncompressed; None reads everything.
        needs_sound: refuse a file without sound; else it gives no channel.

    Raises:
        ValueError: the file is missing, cannot be decoded, or lacks pictures or sound.
    """
    import av

    path = Path(path)
    if not path.is_file():
        kind = "is a folder" if path.is_dir() else "does not exist"
        raise ValueError(f"clip {path} {kind}")
    if max_seconds is not None and not max_seconds > 0:
        raise ValueError(f"max_seconds must be above 0, got {max_seconds}")
    try:
        with av.open(path) as file:
            return _read(file, path, max_seconds or math.inf, needs_sound)
    except av.FFmpegError as error:
        raise ValueError(f"clip {path} cannot be read: {error.strerror}") from error


def _read(file: Any, path: Path, max_seconds: float, needs_sound: bool) -> Clip:
    videos = [s for s in file.streams.video if not _is_cover_art(s)]
    if not videos:
        raise ValueError(f"clip {path} has no picture track")
    if needs_sound and not file.streams.audio:
        raise ValueError(f"clip {path} has no sound track")
    video, audio = videos[0], next(iter(file.streams.audio), None)
    video.thread_type = "AUTO"
    pictures, sounds, damaged, cut = _decode(file, video, audio, max_seconds)
    if not pictures:
        raise ValueError(f"clip {path} has no frames that can be decoded")
    if needs_sound and not sounds:
        raise ValueError(f"clip {path} has no sound that can be decoded")
    if len({(sound.rate, sound.layout) for sound in sounds}) > 1:
        raise ValueError(f"clip {path} changes its sample rate or channels midway")
    declared = _length(file, video)
    frames, fps, notes = _constant_rate(pictures, _nominal_rate(video), declared)
    samples, rate, layout, sound_notes = _sound_of(sounds, audio, pictures[0].time)
    if damaged:
        notes.append("damaged parts of the file were skipped")
    if declared > max_seconds:
        notes.append(f"{declared:.1f} s cut to the first {max_seconds:g} s")
        count = max(1, round(max_seconds * fps))
        frames = frames[:count]
        if cut:  # the last picture is shown until the next one, beyond the limit
            frames += frames[-1:] * (count - len(frames))
        samples = samples[:, : round(max_seconds * rate)]
    elif len(frames) / fps < declared - _NOTED_LOSS:
        notes.append(f"only {len(frames) / fps:.1f} s of {declared:.1f} s are there")
    notes += sound_notes
    return Clip(np.stack(frames), samples, fps, rate, tuple(notes), layout)


def _sound_of(
    sounds: list[_Sound], audio: Any, start: float
) -> tuple[np.ndarray, int, str, list[str]]:
    """Return samples from ``start`` seconds, their rate, their layout, and notes."""
    if not sounds:
        return np.zeros((0, 0), np.float32), 0, "", ["no sound"]
    samples, notes = _place(sounds, _declared_end(audio), start)
    return samples, sounds[0].rate, sounds[0].layout, notes


def _is_cover_art(stream: Any) -> bool:
    from av.stream import Disposition

    return bool(stream.disposition & Disposition.attached_pic)


def _length(file: Any, video: Any) -> float:
    """Return the declared length in seconds; 0 where the file does not say."""
    if video.duration:
        return float(video.duration * video.time_base)
    return file.duration / 1e6 if file.duration else 0.0


def _nominal_rate(video: Any) -> float:
    rate = video.average_rate or video.guessed_rate or video.base_rate
    return float(rate) if rate else 25.0


def _declared_end(audio: Any) -> float:
    """Return the sound's declared end in seconds, without the last block's padding."""
    if not audio.duration:
        return math.inf
    return float(((audio.start_time or 0) + audio.duration) * audio.time_base)


def _decode(file: Any, video: Any, audio: Any, max_seconds: float) -> _Tracks:
    """Decode both tracks, or the pictures alone, side by side up to the limit."""
    pictures: list[_Picture] = []
    sounds: list[_Sound] = []
    damaged = video_finished = False
    audio_finished = audio is None
    size = (0, 0)
    tracks = [track for track in (video, audio) if track is not None]
    for frames in _decoded(file, *tracks):
        damaged |= frames is None
        for frame in frames or ():
            is_video = hasattr(frame, "pict_type")
            time = _time(frame, pictures if is_video else sounds)
            late = time - (pictures[0].time if pictures else time) >= max_seconds
            if late:
                video_finished |= is_video
                audio_finished |= not is_video
            elif is_video:
                size = size if pictures else _square_size(frame, video)
                pictures.append(_picture(frame, time, size))
            else:
                rate, layout = frame.sample_rate, frame.layout.name
                sounds.append(_Sound(time, _samples(frame), rate, layout))
        if video_finished and audio_finished:
            break
    return _Tracks(pictures, sounds, damaged, video_finished)


def _decoded(file: Any, *streams: Any) -> Iterator[list[Any] | None]:
    """Yield the frames of each packet, or None for one that cannot be decoded."""
    import av

    packets = file.demux(*streams)
    while True:
        try:
            packet = next(packets)
            yield packet.decode()
        except StopIteration:
            return
        except av.FFmpegError:
            yield None


def _time(frame: Any, earlier: list[Any]) -> float:
    """Return the presentation time in seconds; a frame without one follows the last."""
    if frame.pts is not None:
        return float(frame.pts * frame.time_base)
    if not earlier:
        return 0.0
    last = earlier[-1]
    if isinstance(last, _Picture):
        return last.time + (last.duration or 0.04)
    return last.time + last.samples.shape[1] / frame.sample_rate


def _square_size(frame: Any, video: Any) -> tuple[int, int]:
    """Return width and height of a frame once its pixels are square."""
    aspect = video.sample_aspect_ratio or Fraction(1)
    return max(1, round(frame.width * float(aspect))), frame.height


def _picture(frame: Any, time: float, size: tuple[int, int]) -> _Picture:
    """Convert a frame to upright RGB; ``size`` is that of the first frame."""
    rgb = frame.reformat(width=size[0], height=size[1], format="rgb24").to_ndarray()
    duration = float(frame.duration * frame.time_base) if frame.duration else 0.0
    return _Picture(time, duration, np.rot90(rgb, round(frame.rotation / 90)))


def _samples(frame: Any) -> np.ndarray:
    """Return samples as ``[C, S]`` float32 in [-1, 1]."""
    raw = frame.to_ndarray()
    if not frame.format.is_planar:
        raw = raw.reshape(-1, frame.layout.nb_channels).T
    scale = _INTEGER_SCALES.get(raw.dtype.str[1:])
    if scale is None:
        return raw.astype(np.float32)
    centre = 128.0 if raw.dtype == np.uint8 else 0.0
    return ((raw - centre) / scale).astype(np.float32)


def _constant_rate(
    pictures: list[_Picture], nominal: float, declared: float
) -> tuple[list[np.ndarray], float, list[str]]:
    """Return pictures at a constant rate, the rate, and notes."""
    pixels = [picture.pixels for picture in pictures]
    times = np.array([picture.time for picture in pictures]) - pictures[0].time
    rate = _usual_rate(times) if len(times) > 1 else nominal
    drifts = {r: _drift(times, r) for r in (nominal, rate)}
    steady = min(drifts, key=drifts.__getitem__)
    if drifts[steady] < 0.5 / steady:
        return pixels, steady, []
    end = times[-1] + (pictures[-1].duration or 1 / rate)
    if declared:
        # Where frames are reordered, the last one may have the length of another.
        end = min(end, max(declared, times[-1] + 1 / rate))
    moments = np.arange(max(1, round(end * rate))) / rate
    shown = np.searchsorted(times, moments + 1e-3, side="right") - 1
    note = f"variable frame rate made constant at {rate:.4g} fps"
    return [pixels[index] for index in shown], rate, [note]


def _drift(times: np.ndarray, rate: float) -> float:
    """Return the largest distance in seconds from a constant rate."""
    return float(np.abs(times - np.arange(len(times)) / rate).max())


def _usual_rate(times: np.ndarray) -> float:
    rate = 1 / max(float(np.median(np.diff(times))), 1 / 240)
    # Containers that count milliseconds make 30 fps look like 30.3.
    return float(round(rate)) if abs(rate / max(round(rate), 1) - 1) < 0.02 else rate


def _place(
    sounds: list[_Sound], declared_end: float, start: float
) -> tuple[np.ndarray, list[str]]:
    """Lay the pieces of sound on a line that begins at ``start`` seconds."""
    rate = sounds[0].rate
    end = min(declared_end, sounds[-1].time + sounds[-1].samples.shape[1] / rate)
    line = np.zeros(
        (len(sounds[0].samples), max(1, round((end - start) * rate))), np.float32
    )
    cursor = round((sounds[0].time - start) * rate)
    for sound in sounds:
        position = round((sound.time - start) * rate)
        # Coarse timestamps jitter; only a real gap moves the sound.
        if abs(position - cursor) > _NOTED_OFFSET * rate:
            cursor = position
        _overwrite(line, sound.samples, cursor)
        cursor += sound.samples.shape[1]
    offset = sounds[0].time - start
    if offset > _NOTED_OFFSET:
        return line, [f"sound starts {offset:.2f} s after the picture: silence added"]
    if offset < -_NOTED_OFFSET:
        return line, [f"sound starts {-offset:.2f} s before the picture: cut"]
    return line, []


def _overwrite(line: np.ndarray, samples: np.ndarray, position: int) -> None:
    """Put ``samples`` at ``position``, leaving out what falls outside the line."""
    skipped = max(0, -position)
    begin = position + skipped
    room = max(0, line.shape[1] - begin)
    piece = samples[:, skipped : skipped + room]
    line[:, begin : begin + piece.shape[1]] = piece

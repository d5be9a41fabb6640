"""A first pass through a clip: when its pictures are shown, and how they are drawn."""

import math
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from avits_jax.media.decoding import frames_of, packets_of, tracks_of
from avits_jax.media.padding import unstated_padding, without_gap
from avits_jax.media.pictures import Shape, shape_of

_REORDERED = 32  # pictures; no codec lets more wait
_USUAL_RATE = 25.0  # frames per second


class Survey(NamedTuple):
    """What a first pass tells of a clip.

    Attributes:
        start: time of the first picture, seconds.
        times: ``[P]`` of all pictures below the limit, seconds from the first, rising.
        end: of the last picture, likewise; infinite where more follow.
        rates: that the file declares, frames per second, the most telling one first.
        shape: of the first picture.
        damaged: whether something could not be decoded.
        declared: length of the track of pictures in seconds; 0 if it is not declared.
        whole: length of the file where that of the track is not declared; else 0.
        sound_end: declared end of the sound, on the clock of ``start``; else infinite.
        padding: seconds by which the sound is late, see `padding`.
    """

    start: float
    times: np.ndarray
    end: float
    rates: tuple[float, ...]
    shape: Shape
    damaged: bool
    declared: float
    whole: float
    sound_end: float
    padding: float

    @property
    def sound_start(self) -> float:
        """Return the time of the sound that is heard with the first picture."""
        return self.start + self.padding


def survey(path: Path, limit: float, needs_sound: bool) -> Survey:
    """Decode pictures for their times alone; they are not kept.

    A decoder gives pictures in the order in which they are shown, so times that step
    back are put in order: picture n is shown at the n-th time.

    Args:
        path: the file.
        limit: seconds from the first picture that are of interest.
        needs_sound: refuse a file without a track of sound.

    Raises:
        ValueError: the file has no pictures or no sound, or what it says of its
            pictures cannot be meant.
        av.FFmpegError: the file cannot be read.
    """
    import av

    with av.open(path) as file:
        video, audio = tracks_of(file, needs_sound)
        rates = (video.average_rate, video.guessed_rate, video.base_rate)
        declared_rates = tuple(float(rate) for rate in rates if rate) or (_USUAL_RATE,)
        watch = _Watch(video, limit, 1 / declared_rates[0])
        delay = _watch(file, video, watch)
        if watch.shape is None:
            raise ValueError("has no frames that can be decoded")
        declared, whole = _lengths(file, video)
        times = np.sort(watch.times)
        if file.format.name == "avi":
            times = _last_apart(times)
        times = without_gap(times, file, video, audio)
        start, times = float(times[0]), times - times[0]
        wanted = times[times < limit]
        end = float(wanted[-1]) + watch.duration
        if declared:
            # Where frames are reordered, the last one may have the length of another.
            end = min(end, max(declared, float(wanted[-1])))
        return Survey(
            start - delay,
            wanted,
            end if len(wanted) == len(times) else math.inf,
            declared_rates,
            watch.shape,
            watch.damaged,
            declared,
            whole,
            _declared_end(audio),
            unstated_padding(file, audio),
        )


class _Watch:
    """Notes when pictures come out of the decoder."""

    def __init__(self, video: Any, limit: float, step: float) -> None:
        self.times: list[float] = []
        self.shape: Shape | None = None
        self.duration = step
        self.damaged = False
        self._video, self._limit = video, limit
        self._late = 0

    @property
    def done(self) -> bool:
        """Tell whether nothing of interest can follow."""
        return self._late > _REORDERED

    def add(self, frame: Any) -> None:
        """Remember a picture; one without a time follows the last."""
        if self.shape is None:
            self.shape = shape_of(frame, self._video)
        time = frame.time
        if time is None:
            time = self.times[-1] + self.duration if self.times else 0.0
        self.times.append(time)
        if frame.duration:
            self.duration = float(frame.duration * frame.time_base)
        self._late = self._late + 1 if time - self.times[0] >= self._limit else 0


def _watch(file: Any, video: Any, watch: _Watch) -> float:
    """Read a track; return by how many seconds its times are late."""
    delay: float | None = None
    for packet in packets_of(file, video):
        if delay is None:
            delay = _made_up_delay(file, packet)
        frames = frames_of(packet)
        watch.damaged |= frames is None
        for frame in frames or ():
            watch.add(frame)
        if watch.done:
            break
    return delay or 0.0


def _made_up_delay(file: Any, packet: Any) -> float:
    """Return by how many seconds FFmpeg makes pictures late that have no times.

    AVI counts pictures in the order of decoding. FFmpeg guesses when they are shown:
    one step later for any codec that might reorder them, while the sound is in time.
    """
    if file.format.name != "avi" or packet is None or None in (packet.pts, packet.dts):
        return 0.0
    return float((packet.pts - packet.dts) * packet.time_base)


def _last_apart(times: np.ndarray) -> np.ndarray:
    """Return rising times, the last a step after the one before if it is the same.

    FFmpeg makes no guess for the last picture of an AVI file: it is one step early.
    """
    if len(times) < 3 or times[-1] > times[-2]:
        return times
    return np.append(times[:-1], 2 * times[-2] - times[-3])


def _lengths(file: Any, video: Any) -> tuple[float, float]:
    """Return the declared lengths of the track and, failing that, of the file."""
    if video.duration:
        return float(video.duration * video.time_base), 0.0
    # Matroska and its like count from zero, wherever the first picture is.
    return 0.0, ((file.duration or 0) - max(0, file.start_time or 0)) / 1e6


def _declared_end(audio: Any) -> float:
    """Return the sound's declared end in seconds, without the last block's padding."""
    if audio is None or not audio.duration:
        return math.inf
    return float(((audio.start_time or 0) + audio.duration) * audio.time_base)

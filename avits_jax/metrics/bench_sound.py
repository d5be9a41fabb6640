"""Sound files as JavisBench reads them, for FAD and CLAP (host only).

Files of the usual kinds are read as librosa does: channels mixed, resampled by soxr in
high quality. Of all others FFmpeg resamples in 16 bit, and the first channel counts.

Upstream: JavisVerse/JavisDiT at b505b37, eval/javisbench/src/utils.py (read_audio); the
resampling is librosa/librosa, librosa/core/audio.py (resample), at "soxr_hq".
"""

import math
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from avits_jax.media.resampling import pad_or_trim

USUAL = (".wav", ".mp3", ".flac", ".aac", ".m4a")
# Decoded beyond what is kept, since a resampled sample hears some of what follows.
_BEYOND = 1.0  # seconds
_LONGEST = 3600.0  # seconds


def read_bench_sound(
    path: str | os.PathLike[str], sample_rate: int, seconds: float | None = None
) -> Float[np.ndarray, " S"]:
    """Read the sound of a file as JavisBench does; float32 in [-1, 1].

    Args:
        path: a sound file, or any file that FFmpeg reads.
        sample_rate: Hz wanted; FAD takes 16 kHz.
        seconds: cut to, or filled up with silence to, whole samples of this length; FAD
            takes 4. None takes the file as it is, an hour at most.

    Raises:
        ValueError: the file is missing, cannot be decoded or has no sound, an argument
            is not positive, or soxr is needed and not installed.
    """
    import av

    path = Path(path)
    if sample_rate < 1:
        raise ValueError(f"sample_rate must be at least 1, got {sample_rate}")
    if seconds is not None and not seconds > 0:
        raise ValueError(f"seconds must be above 0, got {seconds}")
    if not path.is_file():
        kind = "is a folder" if path.is_dir() else "does not exist"
        raise ValueError(f"sound file {path} {kind}")
    limit = min((seconds or _LONGEST) + _BEYOND, _LONGEST)
    read = _mixed if path.suffix in USUAL else _first_channel
    try:
        sound = read(path, sample_rate, limit)
    except av.FFmpegError as error:
        raise ValueError(
            f"sound file {path} cannot be read: {error.strerror}"
        ) from error
    except ValueError as error:
        raise ValueError(f"sound file {path} {error}") from error
    return sound if seconds is None else pad_or_trim(sound, int(seconds * sample_rate))


def mixed_down(
    audio: Float[np.ndarray, "C S"], rate: int, sample_rate: int
) -> Float[np.ndarray, " T"]:
    """Average channels, then resample as librosa does; ``ceil(S * ratio)`` samples.

    Args:
        audio: float32.
        rate: Hz of ``audio``.
        sample_rate: Hz wanted.

    Raises:
        ValueError: the rates differ, and soxr is not installed.
    """
    mono = np.asarray(np.mean(audio, 0, dtype=np.float32))
    if rate == sample_rate:
        return mono
    try:
        import soxr
    except ModuleNotFoundError as error:
        raise ValueError(
            f"is of {rate} Hz, and to resample it as the benchmark does takes the "
            "package soxr (pip install 'avits_jax[bench]')"
        ) from error
    found = soxr.resample(mono, rate, sample_rate, quality="HQ")
    return pad_or_trim(found, math.ceil(len(mono) * (sample_rate / rate)))


def _mixed(path: Path, sample_rate: int, limit: float) -> np.ndarray:
    """Return all channels' mean."""
    frames = list(_frames(path, limit))
    rates = {frame.sample_rate for frame in frames}
    pieces = [_samples(frame) for frame in frames]
    if len(rates) > 1 or len({len(piece) for piece in pieces}) > 1:
        raise ValueError("changes its sample rate or channels midway")
    return mixed_down(np.concatenate(pieces, 1), rates.pop(), sample_rate)


def _first_channel(path: Path, sample_rate: int, limit: float) -> np.ndarray:
    """Return the first channel, in 16 bit."""
    from av import AudioResampler

    resampler = AudioResampler(format="s16p", rate=sample_rate)
    pieces = []
    for frame in (*_frames(path, limit), None):
        pieces += [_samples(each)[0] for each in resampler.resample(frame)]
    return np.concatenate(pieces)


def _frames(path: Path, limit: float) -> Iterator[Any]:
    """Yield the frames of a file's first sound track, of at most ``limit`` seconds.

    Raises:
        ValueError: there is none.
    """
    import av

    with av.open(path) as file:
        if not file.streams.audio:
            raise ValueError("has no sound track")
        seconds = 0.0
        for frame in file.decode(file.streams.audio[0]):
            yield frame
            seconds += frame.samples / frame.sample_rate
            if seconds >= limit:
                break
    if not seconds:
        raise ValueError("has no sound that can be decoded")


def _samples(frame: Any) -> Float[np.ndarray, "C S"]:
    """Return a frame's samples in [-1, 1]; whole numbers are scaled by their range."""
    found = frame.to_ndarray()
    if not frame.format.is_planar:
        found = found.reshape(-1, frame.layout.nb_channels).T
    if found.dtype.kind == "f":
        return found.astype(np.float32)
    half = 2.0 ** (8 * found.dtype.itemsize - 1)
    middle = half if found.dtype.kind == "u" else 0.0
    return ((found.astype(np.float64) - middle) / half).astype(np.float32)

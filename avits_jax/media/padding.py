"""Compressed sound in AVI: a delay that the container does not state.

A decoder of MP3 gives 529 samples before the first one (528 of its filters, ISO/IEC
11172-3, and one), and encoders put 576 before them, as LAME and FFmpeg do. With MP2 it
is the 481 of its filters, with AAC and AC-3 the half of a window that the first block
overlaps. Matroska, mp4 and a LAME tag state the sum, and FFmpeg leaves it out; where a
transport stream or FLV says nothing, its timestamps begin earlier. AVI has neither: its
sound begins at 0.
"""

import math
from typing import Any, NamedTuple

import numpy as np


class _Padding(NamedTuple):
    """What FFmpeg's AVI writer does with a codec's delay.

    Attributes:
        samples: of the delay.
        moved: by how many the sound begins earlier: the same in whole blocks.
    """

    samples: int
    moved: int


_MP3, _MP2 = _Padding(576 + 528 + 1, 1152), _Padding(481, 0)
_KNOWN = {
    "mp3": _MP3,
    "mp3float": _MP3,
    "mp2": _MP2,
    "mp2float": _MP2,
    "aac": _Padding(1024, 1024),
    "ac3": _Padding(256, 0),
    "eac3": _Padding(256, 0),
}


def unstated_padding(file: Any, audio: Any) -> float:
    """Return how many seconds of padding a track of sound has that nothing states.

    Args:
        file: an open container.
        audio: its track of sound, or None.
    """
    padding = _padding(file, audio)
    return padding.samples / audio.codec_context.sample_rate if padding else 0.0


def without_gap(times: np.ndarray, file: Any, video: Any, audio: Any) -> np.ndarray:
    """Return the times of pictures without the gap that FFmpeg leaves for the padding.

    FFmpeg begins the sound of an AVI file by whole blocks earlier, at 0, and writes all
    pictures but the first later by as much, in steps of its clock, rounded up
    (libavformat/mux.c and avienc.c, which fills no gap before the first).

    Args:
        times: ``[P]`` seconds, rising.
        file: an open container.
        video: its track of pictures.
        audio: its track of sound, or None.
    """
    padding = _padding(file, audio)
    if padding is None or not padding.moved or len(times) < 3:
        return times
    tick = float(video.time_base)
    moved = math.ceil(padding.moved / audio.codec_context.sample_rate / tick) * tick
    first, second = np.diff(times[:3])
    # On a fine clock steps are rounded, too.
    if abs(first - second - moved) > (1.6 if second > 4 * tick else 0.6) * tick:
        return times
    return np.concatenate([times[:1], times[1:] - (first - second)])


def _padding(file: Any, audio: Any) -> _Padding | None:
    if audio is None or file.format.name != "avi":
        return None
    context = audio.codec_context
    return _KNOWN.get(context.name) if context.sample_rate > 0 else None

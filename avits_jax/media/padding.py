"""MP3 in AVI: a delay that the container does not state.

A decoder of MP3 gives 529 samples before the first one (528 of its filters, ISO/IEC
11172-3, and one), and encoders put 576 before them, as LAME and FFmpeg do. Matroska,
mp4 and a LAME tag state the sum, and FFmpeg leaves it out; where a transport stream or
FLV says nothing, its timestamps begin earlier. AVI has neither: its sound begins at 0.
"""

import math
from typing import Any

import numpy as np

MP3_PADDING = 576 + 528 + 1  # samples
_MOVED = 1152  # samples: MP3_PADDING in whole blocks, of 576 or of 1152


def unstated_padding(file: Any, audio: Any) -> float:
    """Return how many seconds of padding a track of sound has that nothing states.

    Args:
        file: an open container.
        audio: its track of sound, or None.
    """
    if not _is_padded(file, audio):
        return 0.0
    return MP3_PADDING / audio.codec_context.sample_rate


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
    if not _is_padded(file, audio) or len(times) < 3:
        return times
    tick = float(video.time_base)
    moved = math.ceil(_MOVED / audio.codec_context.sample_rate / tick) * tick
    first, second = np.diff(times[:3])
    # On a fine clock steps are rounded, too.
    if abs(first - second - moved) > (1.6 if second > 4 * tick else 0.6) * tick:
        return times
    return np.concatenate([times[:1], times[1:] - (first - second)])


def _is_padded(file: Any, audio: Any) -> bool:
    if audio is None or file.format.name != "avi":
        return False
    context = audio.codec_context
    return context.name in ("mp3", "mp3float") and context.sample_rate > 0

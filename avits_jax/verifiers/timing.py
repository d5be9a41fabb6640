"""Where the frames and short clips lie that a verifier takes out of a recording.

Upstream of the clips: facebookresearch/pytorchvideo, pytorchvideo/data/clip_sampling.py
(ConstantClipsPerVideoSampler), as facebookresearch/ImageBind uses it in
imagebind/data.py.
"""

from fractions import Fraction

import numpy as np
from jaxtyping import Int


def clip_starts(
    duration: float | Fraction, clip_seconds: float | Fraction, num_clips: int
) -> tuple[Fraction, ...]:
    """Start times in seconds of ``num_clips`` clips, as ImageBind spreads them.

    Clip k starts at ``k m / num_clips``, ``m`` being the seconds that the recording has
    beyond one clip. The division is by ``num_clips`` rather than ``num_clips - 1``, so
    the end of the recording is never reached. Fractions keep the later conversion to
    whole samples and frames exact.
    """
    spare = max(Fraction(duration) - Fraction(clip_seconds), Fraction(0))
    return tuple(spare * clip / num_clips for clip in range(num_clips))


def spaced_frames(num_frames: int, count: int) -> Int[np.ndarray, " count"]:
    """Return ``count`` frames at equal distances, the first and the last among them.

    Places are spaced in float32 and rounded half to even, as torch does. Where there
    are fewer frames than places, some are taken several times.
    """
    places = np.linspace(0, num_frames - 1, count, dtype=np.float32)
    return np.round(places).astype(np.int32)

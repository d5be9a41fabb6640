"""What reading a media file gives."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, UInt8


class Clip(NamedTuple):
    """One clip with picture and sound on one clock; time zero is the first picture.

    Attributes:
        video: ``[F, H, W, 3]`` uint8 RGB, at a constant rate.
        audio: ``[C, S]`` float32 in [-1, 1]; ``[0, 0]`` where there is no sound.
        fps: frames per second.
        sample_rate: Hz; 0 where there is no sound.
        notes: what reading changed, in plain words; empty when nothing was.
        layout: FFmpeg's name of the channel layout ("mono", "stereo", "5.1"), or "".
    """

    video: UInt8[np.ndarray, "F H W 3"]
    audio: Float[np.ndarray, "C S"]
    fps: float
    sample_rate: int
    notes: tuple[str, ...] = ()
    layout: str = ""

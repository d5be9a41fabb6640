"""Which frames of a clip a benchmark looks at (host only).

Upstream: JavisVerse/JavisDiT at b505b37, eval/javisbench/src/utils.py (read_video_cv2).
"""

import numpy as np
from jaxtyping import Int

from avits_jax.nn.rounding import float32_line


def spread_frames(num_frames: int, count: int) -> Int[np.ndarray, " count"]:
    """Return indices of frames spread over a whole clip, first and last among them.

    Halves go to the even neighbour; a clip of fewer frames repeats some.

    Args:
        num_frames: frames of the clip.
        count: frames wanted.

    Raises:
        ValueError: one of them is below 1.

    Example:
        >>> spread_frames(30, 4)
        array([ 0, 10, 19, 29], dtype=int32)
    """
    for name, value in (("num_frames", num_frames), ("count", count)):
        if value < 1:
            raise ValueError(f"{name} must be at least 1, got {value}")
    return np.round(float32_line(0, num_frames - 1, count)).astype(np.int32)

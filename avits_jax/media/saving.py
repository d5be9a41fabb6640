"""Save what a search returns."""

import os
from pathlib import Path

import numpy as np

from avits_jax.media.writing import write_clip
from avits_jax.types import Media


def save(
    clip: Media, path: str | os.PathLike[str], *, fps: float, sample_rate: int
) -> Path:
    """Save a clip as an .mp4 with its sound, which browsers and phones play.

    Args:
        clip: one, as ``output.best`` is: video ``[F, H, W, 3]`` in [0, 1], audio
            ``[S]`` or ``[C, S]`` in [-1, 1], on any device.
        path: ends in .mp4; missing folders are made.
        fps: pictures per second: ``generator.fps``.
        sample_rate: Hz: ``generator.sample_rate``.

    Returns:
        ``path``.

    Raises:
        ValueError: the path does not end in .mp4, the clip is several, or holds NaN, or
            a rate is out of range.
        OSError: the file cannot be written.

    Example:
        >>> rates = {"fps": generator.fps, "sample_rate": generator.sample_rate}
        >>> avits.save(output.best, "best.mp4", **rates)
    """
    path = Path(path)
    if path.suffix.lower() != ".mp4":
        raise ValueError(f"path must end in .mp4, got {path}")
    if np.ndim(clip.video) == 5:
        raise ValueError(
            f"clip must be one, got {len(clip.video)}; save output.best, or one of "
            "output.media: jax.tree.map(lambda x: x[i], output.media)"
        )
    path.parent.mkdir(parents=True, exist_ok=True)
    return write_clip(path, clip.video, clip.audio, fps=fps, sample_rate=sample_rate)

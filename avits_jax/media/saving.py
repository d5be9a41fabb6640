"""Save what a search returns."""

import os
from pathlib import Path
from typing import Any

import numpy as np

from avits_jax.files.stores import check_local
from avits_jax.media.writing import write_clip
from avits_jax.types import Media


def save(
    clip: Media | tuple[Any, Any],
    path: str | os.PathLike[str],
    *,
    fps: float,
    sample_rate: int,
) -> Path:
    """Save a clip as an .mp4 with its sound, which browsers and phones play.

    Args:
        clip: `Media` or a pair, one clip, as ``output.best`` is: video
            ``[F, H, W, 3]`` in [0, 1], audio ``[S]`` or ``[C, S]`` in [-1, 1], on any
            device.
        path: on this machine, ends in .mp4; missing folders are made.
        fps: pictures per second: ``generator.fps``.
        sample_rate: Hz: ``generator.sample_rate``.

    Returns:
        ``path``.

    Raises:
        TypeError: the clip is no pair of pictures and sound.
        ValueError: the path does not end in .mp4 or is an address, the clip is several,
            or holds NaN, or a rate is out of range.
        OSError: the file cannot be written.

    Example:
        >>> rates = {"fps": generator.fps, "sample_rate": generator.sample_rate}
        >>> avits.save(output.best, "best.mp4", **rates)
    """
    check_local(path, "path")
    path = Path(path)
    if not isinstance(clip, tuple) or len(clip) != 2:
        raise TypeError(
            f"clip must be a pair (video, audio), got {type(clip).__name__}; of a "
            "search's output save output.best"
        )
    clip = Media(*clip)
    if path.suffix.lower() != ".mp4":
        raise ValueError(f"path must end in .mp4, got {path}")
    if np.ndim(clip.video) == 5:
        raise ValueError(
            f"clip must be one, got {len(clip.video)}; save output.best, or one of "
            "output.media: jax.tree.map(lambda x: x[i], output.media)"
        )
    path.parent.mkdir(parents=True, exist_ok=True)
    return write_clip(path, clip.video, clip.audio, fps=fps, sample_rate=sample_rate)

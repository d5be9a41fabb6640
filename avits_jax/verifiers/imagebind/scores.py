"""Scores of ImageBind embeddings; all are cosines in [-1, 1], higher is better.

Upstream: JavisVerse/JavisDiT at b505b37, eval/javisbench/src/metrics.py (calc_av_score,
calc_imagebind_score).
"""

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

Windows = tuple[tuple[int, int], ...]

_EPSILON = 1e-6


def _unit(x: Float[Array, "*B D"]) -> Float[Array, "*B D"]:
    norm = jnp.linalg.norm(x, axis=-1, keepdims=True)
    return x / jnp.maximum(norm, _EPSILON)


def cosine(a: Float[Array, "*#B D"], b: Float[Array, "*#B D"]) -> Float[Array, "*#B"]:
    """Return the cosine of vectors' angle; a norm below 1e-6 counts as 1e-6.

    With the mean of several clip embeddings this is AVIB (video, audio), TAIB (text,
    audio) and TVIB (text, video).
    """
    return jnp.sum(_unit(a) * _unit(b), -1)


def avh_score(
    frames: Float[Array, "*B F D"], audio: Float[Array, "*B D"]
) -> Float[Array, "*B"]:
    """Return AVHScore: the mean over frames of the cosine between frame and audio."""
    return jnp.mean(cosine(frames, audio[..., None, :]), -1)


def sliding_windows(length: int, window: int, overlap: int) -> Windows:
    """Return ranges of ``window`` items that advance by ``window - overlap``.

    The last range is moved back to end at the last item; a sequence no longer than the
    window gives one range of all of it.

    Raises:
        ValueError: if the windows would not advance.
    """
    if not 0 <= overlap < window:
        raise ValueError(
            f"overlap must be at least 0 and less than window {window}, got {overlap}"
        )
    if length <= window:
        return ((0, length),)
    step = window - overlap
    starts = list(range(0, length - window + 1, step))
    if starts[-1] + window < length:
        starts.append(length - window)
    return tuple((start, start + window) for start in starts)


def javis_windows(
    num_frames: int,
    num_samples: int,
    fps: float,
    sample_rate: int,
    seconds: float = 2.0,
    overlap: float = 1.5,
) -> tuple[Windows, Windows]:
    """Return JavisScore's windows: ranges of frames, and as many of samples.

    Both lists are cut to the shorter one. Where the video or the audio is not longer
    than one window, a single window holds all of both. At a rate so low that windows of
    frames would not advance, they advance by one frame.
    """
    window = max(int(seconds * fps), 1)
    video = sliding_windows(num_frames, window, min(int(overlap * fps), window - 1))
    audio = sliding_windows(
        num_samples, int(seconds * sample_rate), int(overlap * sample_rate)
    )
    if len(video) == 1 or len(audio) == 1:
        return ((0, num_frames),), ((0, num_samples),)
    count = min(len(video), len(audio))
    return video[:count], audio[:count]


def num_lowest(windows: Windows, share: float = 0.4) -> int:
    """Return how many of a window's frames JavisScore averages: 40 %, at least one.

    The original takes none of one or two frames, and its score is then NaN.
    """
    size = windows[0][1] - windows[0][0]
    return max(int(size * share), 1)


def javis_score(
    frames: Float[Array, "*B F D"],
    window_audio: Float[Array, "*B W D"],
    windows: Windows,
    lowest: float | int = 0.4,
) -> Float[Array, "*B"]:
    """Return JavisScore: how well each window's worst frames agree with its sound.

    Per window, the mean of the lowest cosines between its frames and its audio; then
    the mean over windows (Liu et al., JavisDiT, arXiv 2503.23377).

    Args:
        frames: one embedding per frame.
        window_audio: one embedding per window.
        windows: frame ranges of equal length, as `javis_windows` gives them.
        lowest: share of a window's frames that counts, rounded down, if a float; their
            number if an int.

    Returns:
        Scores in [-1, 1]; NaN where an embedding is.

    Raises:
        ValueError: if no frame would count, more than there are, or the numbers of
            windows and of audio embeddings differ.
    """
    if len(windows) != window_audio.shape[-2]:
        raise ValueError(
            f"window_audio must hold one embedding per window ({len(windows)}), got "
            f"{window_audio.shape[-2]}"
        )
    size = windows[0][1] - windows[0][0]
    count = lowest if isinstance(lowest, int) else int(size * lowest)
    if not 1 <= count <= size:
        raise ValueError(
            f"lowest must leave 1 to {size} frames of a window, got {lowest!r} "
            f"({count} frames)"
        )
    index = np.array([np.arange(start, stop) for start, stop in windows])
    cosines = cosine(frames[..., index, :], window_audio[..., None, :])
    # A sort puts NaN last, where the lowest cosines would not notice it.
    failed = jnp.any(jnp.isnan(cosines), (-2, -1))
    score = jnp.mean(jnp.sort(cosines, -1)[..., :count], (-2, -1))
    return jnp.where(failed, jnp.nan, score)

"""AV-Align (Yariv et al., arXiv 2309.16429): overlap of onsets with motion peaks.

The score is coarse by nature: one more peak in a static tail, or a noisy flow, changes
it a lot. It serves as a judge rather than as a guide.

Upstream: guyyariv/TempoTokens, av_align.py, and JavisVerse/JavisDiT at b505b37,
eval/javisbench/src/av_align.py.
"""

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Num

from avits_jax.nn.pictures import to_levels
from avits_jax.verifiers.av_align.flow import (
    AV_ALIGN_FLOW,
    FlowConfig,
    mean_motion,
)
from avits_jax.verifiers.av_align.onsets import (
    onset_strength,
    onset_times,
    pick_peaks,
)

# Shares of red, green and blue in a grey level (ITU-R BT.601) in OpenCV's 15-bit fixed
# point: whole numbers below 2^24, so float32 is exact.
_LUMA = np.array([9_798, 19_235, 3_735], np.float32)
_ONE = 32_768


def grey_levels(video: Float[Array, "*B 3"]) -> Float[Array, "*B"]:
    """Turn RGB in [0, 1] into whole grey levels in [0, 255], as OpenCV on uint8."""
    levels = to_levels(video)
    # Colour by colour: a sum over the last axis would keep all products in memory.
    total = sum(levels[..., color] * share for color, share in enumerate(_LUMA))
    return jnp.floor((total + _ONE // 2) / _ONE)


def motion_peaks(motion: Float[Array, " F"]) -> Bool[Array, " F"]:
    """Mark strict local maxima, never the first or last frame."""
    inner = (motion[1:-1] > motion[:-2]) & (motion[1:-1] > motion[2:])
    return jnp.pad(inner, 1)


def overlap(
    audio_peaks: Bool[Array, " T"],
    video_peaks: Bool[Array, " F"],
    audio_times: Float[np.ndarray, " T"],
    video_times: Float[np.ndarray, " F"],
    tolerance: float,
) -> Float[Array, ""]:
    """Return matched audio peaks over all peaks; 0 where there is no peak.

    An audio peak matches if a video peak is closer than ``tolerance`` seconds. Each
    counts once, but one video peak may match several audio peaks: hence above 1, where
    matches outnumber the video peaks.
    """
    heard, seen = audio_times[:, None], video_times[None]
    close = (seen - tolerance < heard) & (heard < seen + tolerance)
    matched = audio_peaks & jnp.any(close & video_peaks[None], 1)
    count = jnp.sum(matched)
    total = jnp.sum(audio_peaks) + jnp.sum(video_peaks) - count
    return count / (total + 1e-6)


def agreement(
    motion: Float[Array, " F"],
    strength: Float[Array, " T"],
    *,
    fps: float,
    sample_rate: int,
) -> Float[Array, ""]:
    """Return AV-Align of a motion curve and an onset curve; see `av_align`."""
    seen, heard = motion_peaks(motion), pick_peaks(strength, sample_rate)
    video_times = np.arange(len(motion)) / fps
    audio_times = onset_times(len(strength), sample_rate)
    return overlap(heard, seen, audio_times, video_times, 1 / fps)


def av_align(
    gray: Num[Array, "F H W"],
    audio: Float[Array, " S"],
    *,
    fps: float,
    sample_rate: int,
    flow: FlowConfig = AV_ALIGN_FLOW,
) -> Float[Array, ""]:
    """Return AV-Align of one clip, see `overlap`; higher is better.

    Args:
        gray: grey levels in [0, 255], floats or bytes.
        audio: mono waveform.
        fps: frames per second; peaks match within one frame.
        sample_rate: Hz of ``audio``.
        flow: parameters of the optical flow.

    Raises:
        ValueError: if there are fewer than two frames.
    """
    motion = mean_motion(gray, flow)
    strength = onset_strength(audio, sample_rate)
    return agreement(motion, strength, fps=fps, sample_rate=sample_rate)

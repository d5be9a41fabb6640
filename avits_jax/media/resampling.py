"""Picture sizes and sample rates: area averaging, channel mix-down, rate conversion."""

from fractions import Fraction

import numpy as np
from jaxtyping import Float, UInt8

# How much each speaker counts in the mono mix (ITU-R BS.775 levels, before they are
# scaled to sum to one); the low-frequency channel is left out, as players do.
_MIX_LEVELS = {"FL": 0.7071, "FR": 0.7071, "FC": 1.0, "LFE": 0.0, "LFE2": 0.0}
_SURROUND_LEVEL = 0.5


def resize(
    picture: UInt8[np.ndarray, "H W 3"], height: int, width: int
) -> Float[np.ndarray, "h w 3"]:
    """Scale a picture to cover ``height`` x ``width`` and crop its centre.

    The aspect ratio is kept. Shrinking averages over the exact area of each new pixel,
    which cannot alias; enlarging interpolates linearly.

    Returns:
        float32 in [0, 1].
    """
    source_height, source_width = picture.shape[:2]
    step = min(source_height / height, source_width / width)
    rows = _axis_weights(source_height, height, step)
    columns = _axis_weights(source_width, width, step)
    flat = picture.astype(np.float32).reshape(source_height, -1)
    tall = (rows @ flat).reshape(height, source_width, 3)
    return np.einsum("pw,hwc->hpc", columns, tall, optimize=True) / np.float32(255)


def _axis_weights(size: int, count: int, step: float) -> np.ndarray:
    """Return weights ``[count, size]`` of centred cells of ``step`` pixels."""
    start = (size - count * step) / 2
    pixels = np.arange(size)
    if step >= 1:
        low = start + step * np.arange(count)[:, None]
        overlap = np.minimum(low + step, pixels + 1) - np.maximum(low, pixels)
        weights = np.maximum(overlap, 0)
    else:
        centres = start + step * (np.arange(count) + 0.5) - 0.5
        distance = np.abs(np.clip(centres, 0, size - 1)[:, None] - pixels)
        weights = np.maximum(1 - distance, 0)
    return (weights / weights.sum(1, keepdims=True)).astype(np.float32)


def mix_to_mono(
    audio: Float[np.ndarray, "C S"], layout: str = ""
) -> Float[np.ndarray, " S"]:
    """Mix channels down with levels that sum to one, so that nothing can clip.

    Stereo becomes the mean of both. Surround layouts use the ITU-R BS.775 levels; an
    unknown layout counts every channel alike.
    """
    from av import AudioLayout

    names = [channel.name for channel in AudioLayout(layout).channels] if layout else []
    if len(names) != len(audio):
        return audio.mean(0)
    levels = np.array([_MIX_LEVELS.get(n, _SURROUND_LEVEL) for n in names], np.float32)
    return audio.mean(0) if not levels.any() else (levels / levels.sum()) @ audio


def resample_audio(
    audio: Float[np.ndarray, "C S"], sample_rate: int, new_rate: int
) -> Float[np.ndarray, "C T"]:
    """Change the sample rate with FFmpeg's band-limited resampler.

    Args:
        audio: one or two channels, float32.
        sample_rate: Hz of ``audio``.
        new_rate: Hz wanted.

    Returns:
        ``round(S * new_rate / sample_rate)`` samples, in step with the input.
    """
    import av

    if new_rate == sample_rate:
        return audio
    layout = "mono" if len(audio) == 1 else "stereo"
    frame = av.AudioFrame.from_ndarray(
        np.ascontiguousarray(audio, np.float32), "fltp", layout
    )
    frame.sample_rate, frame.pts = sample_rate, 0
    frame.time_base = Fraction(1, sample_rate)
    resampler = av.AudioResampler("fltp", layout, new_rate)
    parts = resampler.resample(frame) + resampler.resample(None)
    out = np.concatenate([part.to_ndarray() for part in parts], axis=1)
    return pad_or_trim(out, round(audio.shape[1] * new_rate / sample_rate))


def pad_or_trim(
    audio: Float[np.ndarray, "*C S"], num_samples: int
) -> Float[np.ndarray, "*C T"]:
    """Cut the last axis to ``num_samples``, or add silence at its end."""
    audio = audio[..., :num_samples]
    missing = num_samples - audio.shape[-1]
    return np.pad(audio, [(0, 0)] * (audio.ndim - 1) + [(0, missing)])

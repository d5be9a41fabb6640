"""Bring any clip to the size, length and rates that a verifier needs."""

import numpy as np
from jaxtyping import Float

from avits_jax.media.clip import Clip
from avits_jax.media.resampling import mix_to_mono, pad_or_trim, resample_audio, resize

_CHANNEL_NAMES = {1: "mono", 2: "stereo"}


def fit_clip(
    clip: Clip,
    *,
    num_frames: int,
    height: int,
    width: int,
    fps: float,
    num_samples: int,
    sample_rate: int,
) -> tuple[Float[np.ndarray, "F H W 3"], Float[np.ndarray, " S"], list[str]]:
    """Convert a clip and say plainly what was changed.

    Frame ``i`` is the picture nearest in time to ``i / fps`` seconds. Pictures are
    averaged over areas, their aspect kept and their centre cropped. Channels are mixed
    down to mono. A clip that is too long loses its end; one that is too short holds its
    last picture over silence.

    Args:
        clip: as ``read_clip`` gives it.
        num_frames: F, at ``fps`` frames per second.
        height: H, pixels.
        width: W, pixels.
        fps: frames per second wanted.
        num_samples: S, at ``sample_rate`` Hz.
        sample_rate: Hz wanted.

    Returns:
        video float32 in [0, 1], audio float32 in [-1, 1], and notes: those of the clip,
        then one for each change; empty when nothing changed.

    Raises:
        ValueError: a wanted size or rate is not positive.
    """
    wanted = {
        "num_frames": num_frames,
        "height": height,
        "width": width,
        "fps": fps,
        "num_samples": num_samples,
        "sample_rate": sample_rate,
    }
    for name, value in wanted.items():
        if not value > 0:
            raise ValueError(f"{name} must be above 0, got {value}")
    video, notes = _fit_video(clip, num_frames, height, width, fps)
    audio, sound_notes = _fit_audio(clip, num_samples, sample_rate)
    return video, audio, [*clip.notes, *notes, *sound_notes]


def mono_sound(clip: Clip) -> tuple[Float[np.ndarray, " S"], list[str]]:
    """Return a clip's channels mixed down to one, and a note if there were several."""
    channels = len(clip.audio)
    if channels < 2:
        return clip.audio.reshape(-1), []
    name = clip.layout or _CHANNEL_NAMES.get(channels, f"{channels} channels")
    notes = [f"{name} sound mixed down to mono"]
    return mix_to_mono(clip.audio, clip.layout), notes


def _fit_video(
    clip: Clip, num_frames: int, height: int, width: int, fps: float
) -> tuple[np.ndarray, list[str]]:
    count, source_height, source_width = clip.video.shape[:3]
    moments = np.arange(num_frames) * (clip.fps / fps)
    nearest = np.ceil(moments - 0.5 - 1e-6).astype(
        int
    )  # ties go to the earlier picture
    nearest = np.clip(nearest, 0, count - 1)
    unique, places = np.unique(nearest, return_inverse=True)
    pictures = np.stack([resize(clip.video[index], height, width) for index in unique])
    notes = _size_notes(source_height, source_width, height, width)
    notes += _length_notes(count / clip.fps, num_frames / fps, 1 / min(fps, clip.fps))
    if abs(clip.fps / fps - 1) > 1e-3:
        notes.append(f"{clip.fps:.4g} fps resampled to {fps:.4g} fps")
    return pictures[places], notes


def _size_notes(
    source_height: int, source_width: int, height: int, width: int
) -> list[str]:
    if (source_height, source_width) == (height, width):
        return []
    same_aspect = source_height * width == source_width * height
    what = "scaled" if same_aspect else "scaled and cropped"
    return [f"{source_width}x{source_height} {what} to {width}x{height}"]


def _length_notes(seconds: float, wanted: float, tolerance: float) -> list[str]:
    if seconds > wanted + tolerance / 2:
        return [f"{seconds:.1f} s cut to {wanted:.1f} s"]
    if seconds < wanted - tolerance / 2:
        how = "the last picture is held over silence"
        return [f"{seconds:.1f} s extended to {wanted:.1f} s: {how}"]
    return []


def _fit_audio(
    clip: Clip, num_samples: int, sample_rate: int
) -> tuple[np.ndarray, list[str]]:
    if not len(clip.audio):
        return np.zeros(num_samples, np.float32), ["silence in place of sound"]
    audio, notes = mono_sound(clip)
    if clip.sample_rate != sample_rate:
        notes.append(f"sound resampled from {clip.sample_rate} Hz to {sample_rate} Hz")
        audio = resample_audio(audio[None], clip.sample_rate, sample_rate)[0]
    return np.clip(pad_or_trim(audio, num_samples), -1, 1), notes

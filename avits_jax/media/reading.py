"""Read any video file that FFmpeg reads, with picture and sound on one clock."""

import os
from pathlib import Path

import numpy as np

from avits_jax.media.clip import Clip
from avits_jax.media.decoding import frames_of, packets_of, tracks_of
from avits_jax.media.pictures import Shape, Strip
from avits_jax.media.schedule import Schedule, schedule, thinned
from avits_jax.media.sounds import SoundLine
from avits_jax.media.survey import Survey, survey

PICTURE_BYTES = 360 * 2**20
_LONGEST = 3600.0  # seconds
_NOTED_OFFSET = 0.05  # seconds; smaller offsets between picture and sound go unnoticed
_NOTED_LOSS = 0.5  # seconds; declared lengths are rarely exact
_NOTED_PEAK = 1.25  # of full scale; what codecs overshoot is less


def read_clip(
    path: str | os.PathLike[str],
    *,
    max_seconds: float | None = 30.0,
    needs_sound: bool = True,
    max_bytes: int = PICTURE_BYTES,
) -> Clip:
    """Read the picture track and the sound track of a media file.

    Whatever container, codec, size, rate and channels FFmpeg decodes are accepted; of
    several tracks the one marked as the default is read, else the first. Time zero is
    the first picture: sound that starts earlier is cut there, and silence fills what is
    missing before it or in it; in AVI, which states no padding, that of MP3 (1105
    samples), MP2, AAC and AC-3 is taken off (`padding`). Pictures at a variable rate
    are made constant, see `schedule`. Turned or mirrored pictures are set upright and
    pixels made square.

    Pictures are decoded twice: for their times, and to be scaled and thinned one at a
    time. So memory holds ``max_bytes`` of pictures, 12 MB of sound a second at most
    (0.4 MB in stereo at 48 kHz), and a few pictures inside FFmpeg, of 8192x4320 pixels
    at most.

    Args:
        path: the file.
        max_seconds: read no more than this; None reads an hour.
        needs_sound: refuse a file without sound; else it gives no channel.
        max_bytes: of the pictures returned. Where they would take more, they are
            thinned to 24 a second or a little more, then scaled down.

    Raises:
        ValueError: the file is missing, cannot be decoded, says of itself what cannot
            be meant, or lacks pictures or sound.
    """
    import av

    path = Path(path)
    if not path.is_file():
        kind = "is a folder" if path.is_dir() else "does not exist"
        raise ValueError(f"clip {path} {kind}")
    if max_seconds is not None and not max_seconds > 0:
        raise ValueError(f"max_seconds must be above 0, got {max_seconds}")
    if not max_bytes > 0:
        raise ValueError(f"max_bytes must be above 0, got {max_bytes}")
    limit = min(max_seconds or _LONGEST, _LONGEST)
    try:
        return _read(path, limit, needs_sound, max_bytes)
    except av.FFmpegError as error:
        raise ValueError(f"clip {path} cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise ValueError(f"clip {path} {error}") from error


def _read(path: Path, limit: float, needs_sound: bool, max_bytes: int) -> Clip:
    seen = survey(path, limit, needs_sound)
    plan = schedule(seen.times, seen.end, seen.rates, limit)
    width, height, _ = seen.shape
    kept = thinned(plan, max_bytes // (width * height * 3))
    shape = seen.shape.scaled(max_bytes / 3 / len(kept.picks))
    strip = Strip(shape, kept.picks)
    line = SoundLine(seen.sound_start, seen.sound_start + limit)
    damaged = _decode(path, needs_sound, strip, line)
    samples, sound_notes = _sound(line, seen)
    if needs_sound and not len(samples):
        raise ValueError("has no sound that can be decoded")
    notes = [*_rate_notes(plan, kept), *_size_notes(seen.shape, shape)]
    if damaged or seen.damaged:
        notes.append("damaged parts of the file were skipped")
    sound_seconds = samples.shape[1] / max(line.rate, 1)
    cut = line.cut and seen.sound_end > seen.sound_start + limit
    notes += _length_notes(seen, plan, limit, sound_seconds, cut) + sound_notes
    rate, layout = (line.rate, line.layout) if len(samples) else (0, "")
    return Clip(strip.pictures(), samples, kept.fps, rate, tuple(notes), layout)


def _decode(path: Path, needs_sound: bool, strip: Strip, line: SoundLine) -> bool:
    """Decode both tracks side by side; return whether something is damaged."""
    import av

    damaged = False
    with av.open(path) as file:
        video, audio = tracks_of(file, needs_sound)
        for packet in packets_of(file, *(t for t in (video, audio) if t is not None)):
            is_sound = packet is not None and packet.stream.type == "audio"
            if strip.full and not is_sound:
                continue
            frames = frames_of(packet)
            damaged |= frames is None
            for frame in frames or ():
                (line if is_sound else strip).add(frame)
            if strip.full and (audio is None or line.cut):
                break
    return damaged


def _sound(line: SoundLine, seen: Survey) -> tuple[np.ndarray, list[str]]:
    """Return what is heard from the first picture on, and notes."""
    samples = line.samples()
    if not len(samples):
        return samples, ["no sound"]
    ends = min(line.end, seen.sound_end) - seen.sound_start
    samples = samples[:, : max(1, round(ends * line.rate))]
    if not np.isfinite(samples).all():
        raise ValueError("has sound that is not a number")
    notes, offset = [], line.offset + seen.padding
    if offset > _NOTED_OFFSET:
        notes = [f"sound starts {offset:.2f} s after the picture: silence added"]
    elif offset < -_NOTED_OFFSET:
        notes = [f"sound starts {-offset:.2f} s before the picture: cut"]
    if max(samples.max(), -samples.min()) > _NOTED_PEAK:
        notes.append("sound above full scale clipped")
    return np.clip(samples, -1, 1), notes


def _rate_notes(plan: Schedule, kept: Schedule) -> list[str]:
    notes = []
    if not plan.constant:
        notes.append(f"variable frame rate made constant at {plan.fps:.4g} fps")
    if kept.fps != plan.fps:
        notes.append(f"{plan.fps:.4g} fps thinned to {kept.fps:.4g} fps")
    return notes


def _size_notes(shape: Shape, kept: Shape) -> list[str]:
    if kept == shape:
        return []
    (width, height), (less_width, less_height) = shape.shown(), kept.shown()
    return [f"{width}x{height} scaled to {less_width}x{less_height}"]


def _length_notes(
    seen: Survey, plan: Schedule, limit: float, sound_seconds: float, sound_cut: bool
) -> list[str]:
    declared = seen.declared or seen.whole
    if sound_cut or seen.end > limit + 0.5 / plan.fps:
        if declared > limit:
            return [f"{declared:.1f} s cut to the first {limit:g} s"]
        return [f"cut to the first {limit:g} s"]
    there = plan.seconds if seen.declared else max(plan.seconds, sound_seconds)
    if there < declared - _NOTED_LOSS:
        return [f"only {there:.1f} s of {declared:.1f} s are there"]
    return []

"""The clips of a benchmark as files: their names, which are there, their form."""

import os
import re
import wave
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from avits_jax.bench.columns import JAVISBENCH_MINI
from avits_jax.files.atomic import replacing
from avits_jax.runs.clips import CLIPS, clip_name
from avits_jax.runs.stored import is_run

_VIDEOS = (".mp4", ".mkv", ".webm", ".mov", ".avi")
_SOUNDS = (".wav", ".flac")
_SAMPLE = re.compile(r"sample_(\d+)\.mp4")
_NAMED = 5


class ClipFile(NamedTuple):
    """A clip of a row.

    Attributes:
        row: of the prompts.
        video: its file; None where there is none.
        sound: the file that its sound is read from: one beside it, or itself.
    """

    row: int
    video: Path | None
    sound: Path | None


class Shape(NamedTuple):
    """The form of clips; None in what they differ.

    Attributes:
        resolution: height and width in pixels.
        frames: how many.
        fps: pictures per second.
        sample_rate: of the sound, Hz.
    """

    resolution: tuple[int, int] | None
    frames: int | None
    fps: float | None
    sample_rate: int | None


def stem_of(benchmark: str, row: int, cells: Mapping[str, str]) -> str:
    """Return the name of a row's clip without its ending, as the benchmark has it."""
    if benchmark == JAVISBENCH_MINI:
        return Path(clip_name(row)).stem
    return cells["id"]


def find_clips(
    folder: str | os.PathLike[str],
    benchmark: str,
    rows: Sequence[Mapping[str, str]],
    total: int,
) -> list[ClipFile]:
    """Find the clip of every row in a folder, or in that of a run.

    Args:
        folder: of clips named as the benchmark names them, or, as real ones are, by
            the table's ``id``.
        benchmark: whose names.
        rows: of the prompts in use.
        total: rows of the whole table of prompts.

    Raises:
        ValueError: there is no such folder, no clip of it is of these prompts, or it
            holds clips of rows that the table does not have.
    """
    folder = Path(folder)
    if is_run(folder):
        folder = folder / CLIPS
    if not folder.is_dir():
        raise ValueError(f"folder of clips {folder} does not exist")
    names = {path.name: path for path in folder.iterdir() if path.is_file()}
    if benchmark == JAVISBENCH_MINI:
        _refuse_extra(folder, names, total)
    found = [
        _clip(row, names, [stem_of(benchmark, row, cells), cells.get("id", "")])
        for row, cells in enumerate(rows)
    ]
    if all(clip.video is None for clip in found):
        first = stem_of(benchmark, 0, rows[0])
        raise ValueError(
            f"{folder} holds no clip of these prompts; the first would be {first}.mp4"
        )
    return found


def missing_rows(clips: Sequence[ClipFile]) -> str:
    """Say which clips are missing, or ""."""
    rows = [str(clip.row) for clip in clips if clip.video is None]
    if not rows:
        return ""
    more = len(rows) - _NAMED
    rest = f" and {more} more" if more > 0 else ""
    return f"rows {', '.join(rows[:_NAMED])}{rest}"


def shape_of(clips: Sequence[ClipFile]) -> Shape:
    """Return what the headers of all clips agree in; a broken file is passed over."""
    seen = [shape for clip in clips if (shape := _header(clip)) is not None]
    agreed = [
        column[0] if column and all(each == column[0] for each in column) else None
        for column in zip(*seen, strict=True)
    ] or [None] * 4
    return Shape(*agreed)


def write_sound(
    path: str | os.PathLike[str], audio: Float[np.ndarray, "C S"], sample_rate: int
) -> None:
    """Write sound as a .wav of 16 bit, atomically.

    Args:
        path: the file.
        audio: in [-1, 1]; what is beyond is clipped.
        sample_rate: Hz.

    Raises:
        OSError: the file cannot be written.
    """
    levels = np.rint(np.clip(audio.T, -1, 1) * 32767).astype("<i2")
    with replacing(path) as temporary, wave.open(str(temporary), "wb") as file:
        file.setnchannels(len(audio))
        file.setsampwidth(2)
        file.setframerate(sample_rate)
        file.writeframes(levels.tobytes())


def _clip(row: int, names: Mapping[str, Path], stems: Sequence[str]) -> ClipFile:
    for stem in stems:
        video = next((names[stem + e] for e in _VIDEOS if stem + e in names), None)
        if video is not None:
            sound = next((names[stem + e] for e in _SOUNDS if stem + e in names), video)
            return ClipFile(row, video, sound)
    return ClipFile(row, None, None)


def _refuse_extra(folder: Path, names: Mapping[str, Path], total: int) -> None:
    numbers = [int(m[1]) for name in names if (m := _SAMPLE.fullmatch(name))]
    if numbers and max(numbers) >= total:
        raise ValueError(
            f"{folder} holds {clip_name(max(numbers))}, but the table of prompts has "
            f"{total} rows: these are clips of another table"
        )


def _header(clip: ClipFile) -> Shape | None:
    import av

    if clip.video is None:
        return None
    try:
        with av.open(clip.video) as file:
            track = file.streams.video[0]
            rate = None if track.average_rate is None else float(track.average_rate)
            size, frames = (track.height, track.width), track.frames or None
        with av.open(clip.sound) as file:
            sounds = file.streams.audio
            return Shape(size, frames, rate, sounds[0].rate if sounds else None)
    except (av.FFmpegError, IndexError):
        return None

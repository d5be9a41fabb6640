"""The clips of a run: how they are named, and whether they are whole."""

import zlib
from pathlib import Path

from avits_jax.media import read_clip

CLIPS = "clips"
_BLOCK = 1 << 20


def clip_name(row: int) -> str:
    """Return the name of a row's clip."""
    return f"sample_{row:04d}.mp4"


def file_crc(path: Path) -> int:
    """Return the CRC-32 of a file.

    Raises:
        OSError: it cannot be read.
    """
    crc = 0
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            crc = zlib.crc32(block, crc)
    return crc


def clip_fault(clip: Path, crc: int | None) -> str | None:
    """Say what is wrong with the clip of a prompt that is done; None if nothing is.

    Args:
        clip: its file.
        crc: CRC-32 of what was written; None of an older run, whose clip is decoded.
    """
    if not clip.is_file():
        return "is missing"
    try:
        if crc is None:
            read_clip(clip, needs_sound=False)
        elif file_crc(clip) != crc:
            return "is damaged"
    except (OSError, ValueError):
        return "is damaged"
    return None

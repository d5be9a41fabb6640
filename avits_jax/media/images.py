"""Read a picture: PNG, JPEG, WebP, BMP or TIFF."""

import hashlib
import os
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from avits_jax.media.decoding import frames_of, packets_of, tracks_of
from avits_jax.media.pictures import Strip, shape_of

_KINDS = ("_pipe", "image2")  # what FFmpeg calls the formats of single pictures


def picture_mark(path: str | os.PathLike[str]) -> str:
    """Return what tells a picture from others: its name, and digits of its content.

    Raises:
        ValueError: there is no such file.
    """
    path = Path(path)
    try:
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        reason = error.strerror or error
        raise ValueError(f"picture {path} cannot be read: {reason}") from error
    return f"{path.name} ({digest[:16]})"


def read_image(path: str | os.PathLike[str]) -> UInt8[np.ndarray, "H W 3"]:
    """Read a picture, upright and with square pixels; transparency is left out.

    Args:
        path: the file, of at most 8192x4320 pixels.

    Raises:
        ValueError: the file is missing, is no picture, or is damaged or too large.
    """
    import av

    path = Path(path)
    if not path.is_file():
        kind = "is a folder" if path.is_dir() else "does not exist"
        raise ValueError(f"picture {path} {kind}")
    try:
        # A file that is open cannot be taken for a pattern of names, or an address.
        with path.open("rb") as content, av.open(content) as file:
            if not file.format.name.endswith(_KINDS):
                raise ValueError(
                    f"is none: {file.format.long_name or file.format.name}"
                )
            video, _ = tracks_of(file, needs_sound=False)
            for packet in packets_of(file, video):
                for frame in frames_of(packet) or ():
                    strip = Strip(shape_of(frame, video), np.zeros(1, int))
                    strip.add(frame)
                    return strip.pictures()[0]
    except av.FFmpegError as error:
        raise ValueError(f"picture {path} cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise ValueError(f"picture {path} {error}") from error
    raise ValueError(f"picture {path} cannot be read: there is none in it")

"""Copy a clip as it is into an mp4: nothing is decoded, nothing gets worse."""

import os
import shutil
from pathlib import Path

from avits_jax.files.atomic import replacing

MP4 = (".mp4", ".m4v")


def copy_clip(source: str | os.PathLike[str], target: str | os.PathLike[str]) -> None:
    """Copy a clip to an .mp4, atomically: the file itself, or its streams from another.

    Args:
        source: a clip that `read_clip` reads.
        target: the file to write; its folder must exist.

    Raises:
        ValueError: no .mp4 can hold its streams as they are.
        OSError: a file cannot be read or written.
    """
    with replacing(target) as temporary:
        if Path(source).suffix.lower() in MP4:
            shutil.copyfile(source, temporary)
        else:
            _remux(Path(source), temporary)


def link_clip(source: str | os.PathLike[str], target: str | os.PathLike[str]) -> None:
    """Make a link to an .mp4, in the place of what was at ``target``.

    Args:
        source: the clip.
        target: the link to make; its folder must exist.

    Raises:
        OSError: the file system has no links.
    """
    with replacing(target) as temporary:
        temporary.symlink_to(Path(source).resolve())


def _remux(source: Path, target: str | os.PathLike[str]) -> None:
    import av

    options = {"movflags": "+faststart"}
    try:
        with (
            av.open(source) as clip,
            av.open(target, "w", format="mp4", options=options) as file,
        ):
            # The first picture and the first sound, as they are looked at.
            kept = [*clip.streams.video[:1], *clip.streams.audio[:1]]
            streams = {s.index: file.add_stream_from_template(s) for s in kept}
            for packet in clip.demux(kept):
                if packet.size:  # the last of each stream is empty
                    packet.stream = streams[packet.stream.index]
                    file.mux(packet)
    except (av.FFmpegError, ValueError) as error:
        raise ValueError(
            f"{source} cannot be put into an .mp4 as it is: {error}"
        ) from error

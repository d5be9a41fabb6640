"""Tracks, packets and frames of a media file, whatever parts of it are damaged."""

from collections.abc import Iterator, Sequence
from typing import Any

MAX_PIXELS = 8192 * 4320  # of one picture as it is coded
_THREADS = 4  # each holds pictures of its own


def tracks_of(file: Any, needs_sound: bool) -> tuple[Any, Any]:
    """Return the track of pictures and that of sound, None where there is none.

    Of several, the one marked as the default is taken, else the first.

    Raises:
        ValueError: a track is missing, or its pictures are too large.
    """
    from av.stream import Disposition

    def first(tracks: Sequence[Any]) -> Any:
        return max(tracks, key=lambda t: bool(t.disposition & Disposition.default))

    # A track whose codec is unknown has no context.
    known = [track for track in file.streams if getattr(track, "codec_context", None)]
    videos = [
        track
        for track in known
        if track.type == "video" and not track.disposition & Disposition.attached_pic
    ]
    sounds = [track for track in known if track.type == "audio"]
    if not videos:
        raise ValueError("has no picture track that can be read")
    if needs_sound and not sounds:
        raise ValueError("has no sound track that can be read")
    video = first(videos)
    _bound(video)
    return video, first(sounds) if sounds else None


def packets_of(file: Any, *tracks: Any) -> Iterator[Any]:
    """Yield the packets of some tracks; None at last where reading breaks off."""
    import av

    try:
        yield from file.demux(*tracks)
    except av.FFmpegError:
        yield None


def frames_of(packet: Any) -> list[Any] | None:
    """Return the frames of a packet, or None where they cannot be decoded."""
    import av

    try:
        return None if packet is None else packet.decode()
    except av.FFmpegError:
        return None


def _bound(video: Any) -> None:
    """Check the size of pictures; bound that of later ones, and the threads."""
    context = video.codec_context
    if context.width * context.height > MAX_PIXELS:
        raise ValueError(
            f"has pictures of {context.width}x{context.height}; at most {MAX_PIXELS} "
            "pixels are accepted"
        )
    video.thread_type = "AUTO"
    context.thread_count = _THREADS
    context.options = {"max_pixels": str(MAX_PIXELS)}

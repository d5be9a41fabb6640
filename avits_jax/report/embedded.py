"""Files of a run folder as data inside its page."""

import base64
from collections.abc import Iterable, Mapping
from pathlib import Path

from avits_jax.runs.results import candidate_clip

# A page is one file that is mailed and opened as a whole.
CLIP_BYTES = 16 * 2**20


def data_uri(path: Path, kind: str) -> str | None:
    """Return a file as a data URI, or None where there is none.

    Args:
        path: the file.
        kind: its media type.
    """
    if not path.is_file():
        return None
    return f"data:{kind};base64,{base64.b64encode(path.read_bytes()).decode('ascii')}"


def candidate_clips(
    folder: Path, indices: Iterable[int], budget: int = CLIP_BYTES
) -> Mapping[int, str]:
    """Return the kept clips of candidates as data URIs, as many as the budget allows.

    Args:
        folder: the run folder.
        indices: of the candidates, the most wanted first.
        budget: bytes of all clips together; one that exceeds it is left out.
    """
    found = {}
    for index in indices:
        path = candidate_clip(folder, index)
        size = path.stat().st_size if path.is_file() else 0
        if 0 < size <= budget:
            budget -= size
            found[index] = data_uri(path, "video/mp4") or ""
    return found

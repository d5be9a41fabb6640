"""Pairs of what there is once for the picture and once for the sound."""

from typing import Any, NamedTuple


class Streams(NamedTuple):
    """Something of the picture, and the same of the sound.

    Attributes:
        video: of the picture.
        audio: of the sound.
    """

    video: Any
    audio: Any

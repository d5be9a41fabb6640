"""Sizes of TAEHV's decoder."""

import math
from dataclasses import dataclass

NUM_STAGES, NUM_BLOCKS = 3, 3
"""Stages, and memory blocks of each, which all published decoders have alike."""


@dataclass(frozen=True)
class TaehvConfig:
    """A decoder of TAEHV's plain form; the defaults are LTX-2's and LTX-2.3's.

    Attributes:
        latent_channels: of the latents.
        widths: channels of each stage, coarsest first, and behind the last.
        time: frames that each stage makes of one.
        space: rows and columns that each stage makes of one.
        patch: pixels on a side that the last convolution makes of one.
        image_channels: of a frame.
    """

    latent_channels: int = 128
    widths: tuple[int, ...] = (256, 128, 64, 64)
    time: tuple[int, ...] = (2, 2, 2)
    space: tuple[int, ...] = (2, 2, 2)
    patch: int = 4
    image_channels: int = 3

    def __post_init__(self) -> None:
        """Refuse another number of stages."""
        lengths = len(self.widths), len(self.time), len(self.space)
        if lengths != (NUM_STAGES + 1, NUM_STAGES, NUM_STAGES):
            raise ValueError(
                f"widths, time and space must have {NUM_STAGES + 1}, {NUM_STAGES} and "
                f"{NUM_STAGES} entries, got {lengths}"
            )

    @property
    def num_trimmed(self) -> int:
        """Return how many frames are made of nothing before the first, and dropped."""
        return math.prod(self.time) - 1

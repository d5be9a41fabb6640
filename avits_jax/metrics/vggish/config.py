"""Sizes of VGGish, and the sound that it hears."""

from dataclasses import dataclass

SAMPLE_RATE = 16_000
NUM_MELS = 64
NUM_FRAMES = 96
"""Frames of a piece of sound, 10 ms each."""


@dataclass(frozen=True)
class VggishConfig:
    """Sizes; the defaults are those of the published model.

    Attributes:
        stages: channels of the convolutions before each pooling.
        hidden: width of the two hidden linear layers.
        embed_dim: width of the features.
    """

    stages: tuple[tuple[int, ...], ...] = ((64,), (128,), (256, 256), (512, 512))
    hidden: int = 4096
    embed_dim: int = 128

    def __post_init__(self) -> None:
        """Refuse more poolings than a piece of sound bears."""
        if NUM_MELS >> len(self.stages) < 1:
            raise ValueError(f"stages must be at most 6, got {len(self.stages)}")

    @property
    def flat_width(self) -> int:
        """Return how many numbers the last map of a piece of sound has."""
        pooled = len(self.stages)
        return (NUM_FRAMES >> pooled) * (NUM_MELS >> pooled) * self.stages[-1][-1]


TINY = VggishConfig(stages=((4,), (4,), (4, 4), (4, 4)), hidden=16)
"""Reduced layers; features and spectrogram are the published ones."""

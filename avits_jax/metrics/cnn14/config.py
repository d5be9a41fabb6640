"""Sizes of Cnn14, and the sound that it hears."""

from dataclasses import dataclass

SAMPLE_RATE = 16_000
HOP = 160
NUM_MELS = 64


@dataclass(frozen=True)
class Cnn14Config:
    """Sizes; the defaults are those of the published model.

    Attributes:
        widths: channels of each block; the last is the width of the features.
        num_classes: of AudioSet.
    """

    widths: tuple[int, ...] = (64, 128, 256, 512, 1024, 2048)
    num_classes: int = 527

    @property
    def least_frames(self) -> int:
        """Return how many frames a sound must have: all blocks but the last halve."""
        return 2 ** (len(self.widths) - 1)

    @property
    def least_samples(self) -> int:
        """Return how many samples that is."""
        return (self.least_frames - 1) * HOP


TINY = Cnn14Config(widths=(4, 4, 4, 4, 8, 8))
"""Reduced blocks; classes and spectrogram are the published ones."""

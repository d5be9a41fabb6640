"""Sizes of PaSST, and the sound that it hears."""

from dataclasses import dataclass

from avits_jax.weights.config import check_divides

SAMPLE_RATE = 32_000
NUM_SAMPLES = 10 * SAMPLE_RATE
"""Every sound is cut or filled up to this."""


@dataclass(frozen=True)
class PasstConfig:
    """Sizes; the defaults are those of ``passt_s_swa_p16_128_ap476``.

    Attributes:
        mel_bins: mel bands.
        mel_frames: spectrogram frames, 10 ms each, that there are positions for.
        patch_size: bins and frames of a patch.
        stride: bins, and frames, from one patch to the next.
        width: of all states, and of the features.
        depth: transformer blocks.
        heads: attention heads of each.
        num_classes: of AudioSet.
    """

    mel_bins: int = 128
    mel_frames: int = 998
    patch_size: int = 16
    stride: tuple[int, int] = (10, 10)
    width: int = 768
    depth: int = 12
    heads: int = 12
    num_classes: int = 527

    def __post_init__(self) -> None:
        """Refuse heads that do not divide the width, and rows without a position."""
        check_divides(self, "heads", "width")
        patches = (self.mel_bins - self.patch_size) // self.stride[0] + 1
        if patches != self.rows:
            raise ValueError(
                f"mel_bins {self.mel_bins} give {patches} rows of patches and "
                f"{self.rows} positions; the stride must make them equal"
            )

    @property
    def rows(self) -> int:
        """Return how many positions there are along frequency."""
        return self.mel_bins // self.stride[0]

    @property
    def columns(self) -> int:
        """Return how many positions there are along time."""
        return self.mel_frames // self.stride[1]

    @property
    def hidden(self) -> int:
        """Return the width inside the feed-forward layers."""
        return 4 * self.width


TINY = PasstConfig(width=8, depth=1, heads=2)
"""A reduced transformer; patches, classes and spectrogram are the published ones."""

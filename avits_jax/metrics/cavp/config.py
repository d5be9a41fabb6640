"""Sizes of CAVP, and the clip that it reads."""

from dataclasses import dataclass

FPS = 4
"""Features a second, and frames."""
SAMPLE_RATE = 16_000
SIDE = 224
EXPANSION = 4
"""Channels after a block of the video encoder over those inside it."""
_STAGES, _BLOCKS = 4, 6


@dataclass(frozen=True)
class CavpConfig:
    """Sizes; the defaults are those of the published network.

    Attributes:
        base: channels after the video encoder's first convolution.
        stage_blocks: blocks of each of its four stages.
        mel_bins: mel bands of the sound.
        widths: channels after each of the audio encoder's six blocks.
        embed_dim: size of the shared features.
    """

    base: int = 64
    stage_blocks: tuple[int, ...] = (3, 4, 6, 3)
    mel_bins: int = 128
    widths: tuple[int, ...] = (64, 128, 256, 512, 1024, 2048)
    embed_dim: int = 512

    def __post_init__(self) -> None:
        """Refuse another number of stages or blocks, or too few bands for them."""
        for name, count in (("stage_blocks", _STAGES), ("widths", _BLOCKS)):
            if len(getattr(self, name)) != count:
                raise ValueError(
                    f"{name} must have {count} entries, got {len(getattr(self, name))}"
                )
        if self.mel_bins < 2**5:
            raise ValueError(f"mel_bins must be at least 32, got {self.mel_bins}")


TINY = CavpConfig(
    base=2, stage_blocks=(1, 1, 1, 1), widths=(2, 2, 4, 4, 8, 8), embed_dim=16
)
"""Reduced encoders; the clip is the published one."""

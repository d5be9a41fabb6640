"""Sizes of I3D, and the clip that it reads."""

from dataclasses import dataclass

SIDE = 224
MAX_FRAMES = 24
"""Frames that JavisBench spreads over a clip."""
_STEM, _BLOCKS, _BRANCHES = 3, 9, 6


@dataclass(frozen=True)
class I3dConfig:
    """Sizes; the defaults are those of the published network.

    Attributes:
        stem: channels after each of the first three convolutions.
        mixed: of each of the nine blocks, the channels of its branches: 1x1; 1x1 then
            3x3; 1x1 then 3x3; pool then 1x1.
        num_classes: logits.
    """

    stem: tuple[int, ...] = (64, 64, 192)
    mixed: tuple[tuple[int, ...], ...] = (
        (64, 96, 128, 16, 32, 32),
        (128, 128, 192, 32, 96, 64),
        (192, 96, 208, 16, 48, 64),
        (160, 112, 224, 24, 64, 64),
        (128, 128, 256, 24, 64, 64),
        (112, 144, 288, 32, 64, 64),
        (256, 160, 320, 32, 128, 128),
        (256, 160, 320, 32, 128, 128),
        (384, 192, 384, 48, 128, 128),
    )
    num_classes: int = 400

    def __post_init__(self) -> None:
        """Refuse another number of layers."""
        if len(self.stem) != _STEM:
            raise ValueError(f"stem must have {_STEM} entries, got {len(self.stem)}")
        if [len(each) for each in self.mixed] != [_BRANCHES] * _BLOCKS:
            raise ValueError(
                f"mixed must have {_BLOCKS} entries of {_BRANCHES} channels, got "
                f"{self.mixed}"
            )


TINY = I3dConfig(stem=(4, 4, 4), mixed=((4, 2, 2, 2, 2, 2),) * 9, num_classes=16)
"""Reduced network; the clip is the published one."""

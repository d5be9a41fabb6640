"""Sizes of the video decoder and encoder; the defaults are LTX-2.3's."""

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class Resample:
    """What lies between two stages: space and time folded into channels, or unfolded.

    Attributes:
        stride: how many frames, rows and columns become one, or are made of one.
        factor: channels on the coarse side over channels on the fine side.
        residual: whether the input is folded or unfolded, too, and added.
    """

    stride: tuple[int, int, int] = (2, 2, 2)
    factor: int = 2
    residual: bool = False

    @property
    def fold(self) -> int:
        """Return how many positions are folded into one."""
        return math.prod(self.stride)


def _scale(resamples: tuple[Resample, ...], patch: int) -> tuple[int, int, int]:
    strides = [each.stride for each in resamples]
    time, rows, columns = (math.prod(axis) for axis in zip(*strides, strict=True))
    return time, patch * rows, patch * columns


def _check_depths(depths: tuple[int, ...], resamples: tuple[Resample, ...]) -> None:
    if not resamples or len(depths) != len(resamples) + 1:
        raise ValueError(
            "depths must have one entry more than resamples, which has at least one, "
            f"got {len(depths)} and {len(resamples)}"
        )


@dataclass(frozen=True)
class VideoDecoderConfig:
    """Sizes of the decoder, in the order in which it runs.

    Published configurations (``decoder_blocks``) list it the other way round.

    Attributes:
        latent_channels: of the latents.
        width: channels of the first stage.
        depths: residual blocks of each stage.
        resamples: between the stages; they double.
        channels: of a pixel.
        patch: pixels on a side of what one position of the last stage becomes.
        reflect: pad space by reflection; False: with zeros.
        conditioned: whether it is told how noisy the latents are.
        level: what it is told then, the original's 0.05.
    """

    latent_channels: int = 128
    width: int = 1024
    depths: tuple[int, ...] = (2, 2, 4, 6, 4)
    resamples: tuple[Resample, ...] = (
        Resample((2, 2, 2), 2),
        Resample((2, 2, 2), 1),
        Resample((2, 1, 1), 2),
        Resample((1, 2, 2), 2),
    )
    channels: int = 3
    patch: int = 4
    reflect: bool = False
    conditioned: bool = False
    level: float = 0.05

    def __post_init__(self) -> None:
        """Refuse stages and doublings that do not fit together."""
        _check_depths(self.depths, self.resamples)
        width = self.width
        for each in self.resamples:
            if width % each.factor or (each.residual and width % each.fold):
                raise ValueError(f"width {self.width} cannot be divided by {each}")
            width //= each.factor

    @property
    def widths(self) -> tuple[int, ...]:
        """Return the channels of each stage."""
        widths = [self.width]
        for each in self.resamples:
            widths.append(widths[-1] // each.factor)
        return tuple(widths)

    @property
    def scale(self) -> tuple[int, int, int]:
        """Return how many frames, rows and columns of pixels a latent stands for."""
        return _scale(self.resamples, self.patch)


@dataclass(frozen=True)
class VideoEncoderConfig:
    """Sizes of the encoder.

    Attributes:
        latent_channels: of the latents.
        width: channels of the first stage.
        depths: residual blocks of each stage.
        resamples: between the stages; they halve, and all are residual.
        channels: of a pixel.
        patch: pixels on a side of what becomes one position of the first stage.
    """

    latent_channels: int = 128
    width: int = 128
    depths: tuple[int, ...] = (4, 6, 4, 2, 2)
    resamples: tuple[Resample, ...] = (
        Resample((1, 2, 2), 2, True),
        Resample((2, 1, 1), 2, True),
        Resample((2, 2, 2), 2, True),
        Resample((2, 2, 2), 1, True),
    )
    channels: int = 3
    patch: int = 4

    def __post_init__(self) -> None:
        """Refuse stages and halvings that do not fit together."""
        _check_depths(self.depths, self.resamples)
        for width, each in zip(self.widths, self.resamples, strict=False):
            if width * each.factor % each.fold or each.fold % each.factor:
                raise ValueError(f"{width} channels cannot be folded by {each}")
            if not each.residual:
                raise ValueError(f"resamples of an encoder are residual, got {each}")

    @property
    def widths(self) -> tuple[int, ...]:
        """Return the channels of each stage."""
        widths = [self.width]
        for each in self.resamples:
            widths.append(widths[-1] * each.factor)
        return tuple(widths)

    @property
    def scale(self) -> tuple[int, int, int]:
        """Return how many frames, rows and columns of pixels a latent stands for."""
        return _scale(self.resamples, self.patch)


LTX2_DECODER = VideoDecoderConfig(
    depths=(5, 5, 5, 5),
    resamples=(Resample((2, 2, 2), 2, True),) * 3,
    reflect=True,
)
"""LTX-2.0's decoder."""

LTX2_ENCODER = VideoEncoderConfig(
    depths=(4, 6, 6, 2, 2),
    resamples=(
        Resample((1, 2, 2), 2, True),
        Resample((2, 1, 1), 2, True),
        Resample((2, 2, 2), 2, True),
        Resample((2, 2, 2), 2, True),
    ),
)
"""LTX-2.0's encoder."""

TINY_DECODER = VideoDecoderConfig(width=16, depths=(1, 1, 1, 1, 1))
"""A reduced decoder, of LTX-2.3's scale."""

TINY_ENCODER = VideoEncoderConfig(width=4, depths=(1, 1, 1, 1, 1))
"""A reduced encoder, of LTX-2.3's scale."""

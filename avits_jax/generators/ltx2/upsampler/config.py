"""Sizes of the latent upsamplers."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from avits_jax.weights.config import check_divides

# Scale of a file -> shuffled factor, and what the blur divides by.
_RATIONAL = {0.75: (3, 4), 1.5: (3, 2), 2.0: (2, 1), 4.0: (4, 1)}


@dataclass(frozen=True)
class UpsamplerConfig:
    """A latent upsampler; the defaults are spatial x2 of LTX-2 and LTX-2.3.

    Attributes:
        channels: of the latents.
        width: channels inside.
        num_blocks: residual blocks before the shuffle, and as many behind it.
        time: frames that the shuffle makes of one; of 2, the very first is dropped.
        space: rows and columns that the shuffle makes of one.
        shrink: stride of the blur behind the shuffle; 1 for none.
        norm_groups: groups of every GroupNorm.
    """

    channels: int = 128
    width: int = 1024
    num_blocks: int = 4
    time: int = 1
    space: int = 2
    shrink: int = 1
    norm_groups: int = 32

    def __post_init__(self) -> None:
        """Refuse groups that do not divide the width, and what changes no size."""
        check_divides(self, "norm_groups", "width")
        if self.time == self.space == 1:
            raise ValueError("time and space are both 1; one of them must be above")


SPATIAL_1_5 = UpsamplerConfig(space=3, shrink=2)
"""Spatial x1.5 of LTX-2.3. Its width is assumed to be that of x2."""

TEMPORAL = UpsamplerConfig(width=512, time=2, space=1)
"""Temporal x2. Its width is third parties' for LTX-2, and assumed for LTX-2.3."""


def published_config(values: Mapping[str, Any]) -> UpsamplerConfig:
    """Return our sizes from those in a file's metadata, or in diffusers' config.json.

    Args:
        values: ``in_channels``, ``mid_channels``, ``num_blocks_per_stage``, ``dims``,
            ``spatial_upsample``, ``temporal_upsample``, and either ``spatial_scale``
            and ``rational_resampler`` or ``rational_spatial_scale`` (None for the plain
            form). What is absent is as in the spatial x2 of LTX-2.3.

    Raises:
        ValueError: convolutions are not over time and space, the scale is none of 0.75,
            1.5, 2 and 4, or the plain form has another scale than 2.
    """
    if values.get("dims", 3) != 3:
        raise ValueError(f"dims must be 3, got {values['dims']!r}")
    scale = float(values.get("spatial_scale", 2.0))
    rational = values.get("rational_resampler", False)
    if "rational_spatial_scale" in values:
        rational = values["rational_spatial_scale"] is not None
        scale = float(values["rational_spatial_scale"] or 2.0)
    time = 2 if values.get("temporal_upsample", False) else 1
    space, shrink = 1, 1
    if values.get("spatial_upsample", True):
        if scale not in (_RATIONAL if rational and time == 1 else (2.0,)):
            raise ValueError(f"no such upsampler has the spatial scale {scale}")
        space, shrink = _RATIONAL[scale]
    published = UpsamplerConfig()
    return UpsamplerConfig(
        channels=values.get("in_channels", published.channels),
        width=values.get("mid_channels", published.width),
        num_blocks=values.get("num_blocks_per_stage", published.num_blocks),
        time=time,
        space=space,
        shrink=shrink,
    )

"""Sizes of LTX-2's text encoder."""

from dataclasses import dataclass

from avits_jax.networks.gemma3 import config as gemma3
from avits_jax.networks.gemma3.config import Gemma3Config


@dataclass(frozen=True)
class HeadsConfig:
    """Attention heads of a connector, which make its width.

    Attributes:
        heads: how many.
        head_dim: features of each, an even number.
    """

    heads: int = 32
    head_dim: int = 128

    @property
    def width(self) -> int:
        """Return the features of a token."""
        return self.heads * self.head_dim


@dataclass(frozen=True)
class ConnectorsConfig:
    """Feature extractor and connectors; the defaults are those of LTX-2.3.

    Attributes:
        video, audio: heads of the two connectors.
        depth: blocks of each.
        registers: learned tokens in the place of padding.
        gated: heads are gated.
        shared: one projection serves both connectors, and states are normalised over a
            prompt (LTX-2.0), not token by token and projected for each (LTX-2.3).
        max_position: to which positions are relative.
        theta: base of the rotary frequencies.
        epsilon: of the RMS norms, and of the normalisation of states.
    """

    video: HeadsConfig = HeadsConfig(32, 128)
    audio: HeadsConfig = HeadsConfig(32, 64)
    depth: int = 8
    registers: int = 128
    gated: bool = True
    shared: bool = False
    max_position: int = 4096
    theta: float = 10_000.0
    epsilon: float = 1e-6

    def __post_init__(self) -> None:
        """Refuse heads that cannot be halved, and connectors that cannot share."""
        for name in ("video", "audio"):
            size = getattr(self, name).head_dim
            if size % 2:
                raise ValueError(f"{name}.head_dim must be even, got {size}")
        if self.shared and self.video.width != self.audio.width:
            raise ValueError(
                "one projection serves both connectors, but they are "
                f"{self.video.width} and {self.audio.width} wide"
            )

    @property
    def projections(self) -> dict[str, int]:
        """Return the projections of states by name, with their widths."""
        if self.shared:
            return {"shared": self.video.width}
        return {"video": self.video.width, "audio": self.audio.width}


@dataclass(frozen=True)
class TextConfig:
    """The text encoder; the defaults are those of LTX-2.3.

    Attributes:
        gemma: the language model whose states are read.
        connectors: what turns them into contexts.
    """

    gemma: Gemma3Config = Gemma3Config()
    connectors: ConnectorsConfig = ConnectorsConfig()


CONNECTORS_2_0 = ConnectorsConfig(
    video=HeadsConfig(30, 128),
    audio=HeadsConfig(30, 128),
    depth=2,
    gated=False,
    shared=True,
)
"""Sizes of LTX-2.0's connectors."""

TEXT_2_0 = TextConfig(connectors=CONNECTORS_2_0)
"""Sizes of LTX-2.0's text encoder."""

TINY = TextConfig(
    gemma3.TINY,
    ConnectorsConfig(HeadsConfig(2, 8), HeadsConfig(2, 4), depth=1, registers=8),
)
"""Reduced sizes."""

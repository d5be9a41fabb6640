"""Sizes of mini's verifiers."""

from dataclasses import dataclass

from avits_jax.weights.config import check_divides


@dataclass(frozen=True)
class MiniVerifierConfig:
    """Sizes of one of mini's verifiers.

    Attributes:
        width, depth, heads: of the blocks over time.
        channels: of the convolutions over frames; the first also of those over sound.
        embed: length of the vectors in which clip and words meet.
        text_width: of the prompt encoder.
    """

    width: int = 96
    depth: int = 2
    heads: int = 4
    channels: tuple[int, int] = (48, 64)
    embed: int = 64
    text_width: int = 64

    def __post_init__(self) -> None:
        """Refuse heads that do not divide what they share."""
        check_divides(self, "heads", "width")


JUDGE = MiniVerifierConfig(
    width=64, depth=1, channels=(32, 48), embed=48, text_width=48
)

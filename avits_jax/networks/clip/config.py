"""Sizes of the CLIP encoders."""

from dataclasses import dataclass

from avits_jax.weights.config import check_divides


@dataclass(frozen=True)
class VisionConfig:
    """Vision transformer; the defaults are ViT-B/32.

    Attributes:
        width: features per token.
        depth: number of layers.
        heads: attention heads; 64 features each in the published networks.
        hidden: width inside the MLPs.
        image_size, patch_size: pixels of a square picture's side and of a patch's side.
    """

    width: int = 768
    depth: int = 12
    heads: int = 12
    hidden: int = 3072
    image_size: int = 224
    patch_size: int = 32

    def __post_init__(self) -> None:
        """Refuse heads that do not divide what they share."""
        check_divides(self, "heads", "width")

    @property
    def num_patches(self) -> int:
        """Return how many patches a picture has."""
        return (self.image_size // self.patch_size) ** 2


@dataclass(frozen=True)
class TextConfig:
    """Causal text transformer; the defaults are those beside ViT-B/32.

    Attributes:
        width: features per token.
        depth: number of layers.
        heads: attention heads.
        hidden: width inside the MLPs.
        vocab_size: BPE tokens.
        context_length: tokens of one text, start and end included.
    """

    width: int = 512
    depth: int = 12
    heads: int = 8
    hidden: int = 2048
    vocab_size: int = 49_408
    context_length: int = 77

    def __post_init__(self) -> None:
        """Refuse heads that do not divide what they share."""
        check_divides(self, "heads", "width")


@dataclass(frozen=True)
class ClipConfig:
    """CLIP; the defaults are ViT-B/32.

    Attributes:
        vision, text: the encoders.
        embed_dim: size of the shared embedding.
    """

    vision: VisionConfig = VisionConfig()
    text: TextConfig = TextConfig()
    embed_dim: int = 512


TINY = ClipConfig(
    vision=VisionConfig(
        width=16, depth=1, heads=2, hidden=32, image_size=32, patch_size=8
    ),
    text=TextConfig(width=8, depth=1, heads=2, hidden=16),
    embed_dim=6,
)
"""Reduced encoders; vocabulary and context are the published ones."""

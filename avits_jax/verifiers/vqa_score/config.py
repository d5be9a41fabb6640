"""Sizes of CLIP-FlanT5."""

from dataclasses import dataclass, field

from avits_jax.networks.clip.config import VisionConfig
from avits_jax.networks.t5.modeling import T5Config
from avits_jax.weights.config import check_divides


@dataclass(frozen=True)
class ClipVisionConfig:
    """Sizes of CLIP's vision transformer; the defaults are ViT-L/14 at 336 pixels.

    Attributes:
        hidden_size: width.
        intermediate_size: hidden width of the MLPs.
        num_hidden_layers: layers of the published encoder. The last one is not run,
            since the states before it are the ones that are used.
        num_attention_heads: attention heads.
        image_size: pixels on a side.
        patch_size: pixels on a side of a patch.
    """

    hidden_size: int = 1024
    intermediate_size: int = 4096
    num_hidden_layers: int = 24
    num_attention_heads: int = 16
    image_size: int = 336
    patch_size: int = 14

    def __post_init__(self) -> None:
        """Refuse heads that do not divide what they share."""
        check_divides(self, "num_attention_heads", "hidden_size")

    @property
    def trunk(self) -> VisionConfig:
        """Return the sizes of the layers that are run: all but the last."""
        return VisionConfig(
            width=self.hidden_size,
            depth=self.num_hidden_layers - 1,
            heads=self.num_attention_heads,
            hidden=self.intermediate_size,
            image_size=self.image_size,
            patch_size=self.patch_size,
        )


@dataclass(frozen=True)
class VQAScoreConfig:
    """Sizes of CLIP-FlanT5; the defaults are those of clip-flant5-xxl.

    Attributes:
        t5: the language model.
        clip: the vision encoder.
        image_token: id that marks where the image goes in a prompt.
        pad_token: id of padding, and the first input of the decoder.
    """

    t5: T5Config = field(default_factory=T5Config)
    clip: ClipVisionConfig = field(default_factory=ClipVisionConfig)
    image_token: int = -200
    pad_token: int = 0


TINY = VQAScoreConfig(
    T5Config(
        vocab_size=64,
        d_model=16,
        d_kv=8,
        d_ff=16,
        num_layers=1,
        num_decoder_layers=1,
        num_heads=2,
    ),
    ClipVisionConfig(
        hidden_size=16,
        intermediate_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        image_size=28,
        patch_size=14,
    ),
)
"""Reduced sizes."""

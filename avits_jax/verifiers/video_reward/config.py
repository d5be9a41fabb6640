"""Sizes of VideoReward's Qwen2-VL, and constants of its published checkpoint."""

from dataclasses import dataclass, field

from avits_jax.weights.config import check_divides

DIMENSIONS = ("VQ", "MQ", "TA")
"""Visual quality, motion quality, text alignment: the order of the reward tokens."""

REWARD_MEAN = (3.6757, 1.1646, 2.8105)
REWARD_STD = (2.2476, 1.3811, 2.5121)

LORA_SCALE = 2.0
"""alpha 128 over rank 64."""


@dataclass(frozen=True)
class VisionConfig:
    """Sizes of the vision encoder.

    Attributes:
        depth: blocks.
        width: of a patch's state.
        num_heads: attention heads.
        mlp_ratio: hidden width of the MLPs over ``width``.
        patch_size: pixels on a side of a patch.
        temporal_patch_size: frames in a patch.
        merge_size: patches on a side that become one token of the language model.
        rope_theta: base of the rotary positions.
        epsilon: of the norms.
    """

    depth: int = 32
    width: int = 1280
    num_heads: int = 16
    mlp_ratio: int = 4
    patch_size: int = 14
    temporal_patch_size: int = 2
    merge_size: int = 2
    rope_theta: float = 10_000.0
    epsilon: float = 1e-6

    def __post_init__(self) -> None:
        """Refuse heads that do not divide what they share."""
        check_divides(self, "num_heads", "width")

    @property
    def patch_values(self) -> int:
        """Return how many numbers a patch holds."""
        return 3 * self.temporal_patch_size * self.patch_size**2

    @property
    def token_side(self) -> int:
        """Return the pixels on a side of what becomes one token."""
        return self.patch_size * self.merge_size


@dataclass(frozen=True)
class VideoRewardConfig:
    """Sizes of the language model; the defaults are those of Qwen2-VL-2B.

    Attributes:
        vision: the vision encoder.
        vocab_size: rows of the embedding, cut to the tokens in use.
        hidden_size: width.
        intermediate_size: hidden width of the MLPs.
        num_hidden_layers: layers.
        num_attention_heads: query heads.
        num_key_value_heads: key and value heads.
        rope_theta: base of the rotary positions.
        epsilon: of the RMS norms.
        video_token: id that stands for one merged patch of the video.
        reward_tokens: ids at which the rewards are read, in the order of `DIMENSIONS`.
    """

    vision: VisionConfig = field(default_factory=VisionConfig)
    vocab_size: int = 151_660
    hidden_size: int = 1536
    intermediate_size: int = 8960
    num_hidden_layers: int = 28
    num_attention_heads: int = 12
    num_key_value_heads: int = 2
    rope_theta: float = 1e6
    epsilon: float = 1e-6
    video_token: int = 151_656
    reward_tokens: tuple[int, int, int] = (151_657, 151_658, 151_659)

    def __post_init__(self) -> None:
        """Refuse heads that do not divide what they share."""
        check_divides(self, "num_attention_heads", "hidden_size")
        check_divides(self, "num_key_value_heads", "num_attention_heads")


TINY = VideoRewardConfig(
    vision=VisionConfig(depth=1, width=16, num_heads=2, mlp_ratio=1),
    vocab_size=64,
    hidden_size=16,
    intermediate_size=16,
    num_hidden_layers=1,
    num_attention_heads=2,
    num_key_value_heads=1,
    video_token=60,
    reward_tokens=(61, 62, 63),
)
"""Reduced sizes; like the published ones, the last four ids are the special tokens."""

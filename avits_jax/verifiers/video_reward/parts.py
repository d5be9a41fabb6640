"""VideoReward's network as a record."""

from avits_jax.verifiers.video_reward.config import TINY, VideoRewardConfig
from avits_jax.verifiers.video_reward.params import build, video_reward_rules
from avits_jax.verifiers.video_reward.sharding import RULES as SPLIT
from avits_jax.weights.model import Download, Model, Part

MODEL = Model(
    "video_reward",
    (
        Part(
            "",
            VideoRewardConfig(),
            build,
            rules=video_reward_rules(),
            split=SPLIT,
            downloads=(
                Download("all files", "KwaiVGI/VideoReward", 4.7, "Apache-2.0"),
                Download(
                    "base/ (its tokenizer; its weights with the adapter alone)",
                    "Qwen/Qwen2-VL-2B-Instruct",
                    4.4,
                    "Apache-2.0",
                ),
            ),
        ),
    ),
    reduced={"": TINY},
)

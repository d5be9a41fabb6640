"""VQAScore's network as a record."""

from avits_jax.verifiers.vqa_score.config import TINY, VQAScoreConfig
from avits_jax.verifiers.vqa_score.params import (
    build,
    vqa_score_ignored,
    vqa_score_rules,
)
from avits_jax.verifiers.vqa_score.sharding import RULES as SPLIT
from avits_jax.weights.model import Download, Model, Part

MODEL = Model(
    "vqa_score",
    (
        Part(
            "",
            VQAScoreConfig(),
            build,
            rules=vqa_score_rules(),
            ignored=vqa_score_ignored,
            split=SPLIT,
            downloads=(
                Download("all files", "zhiqiulin/clip-flant5-xxl", 23.0, "Apache-2.0"),
                Download("tokenizer", "google/flan-t5-xxl", 0.003, "Apache-2.0"),
            ),
        ),
    ),
    reduced={"": TINY},
)

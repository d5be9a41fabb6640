"""The network of Audiobox aesthetics as a record."""

from avits_jax.verifiers.audiobox.config import TINY, AudioboxConfig
from avits_jax.verifiers.audiobox.params import IGNORED, RULES, build
from avits_jax.verifiers.audiobox.sharding import RULES as SPLIT
from avits_jax.weights.model import Download, Model, Part

MODEL = Model(
    "audiobox",
    (
        Part(
            "",
            AudioboxConfig(),
            build,
            rules=RULES,
            ignored=lambda config: IGNORED,
            split=SPLIT,
            downloads=(
                Download(
                    "model.safetensors",
                    "facebook/audiobox-aesthetics",
                    0.42,
                    "CC-BY 4.0",
                ),
            ),
            # Samples have more than eight bits, and the scores shall have as well.
            float32=("first", "mix", "heads"),
        ),
    ),
    reduced={"": TINY},
)

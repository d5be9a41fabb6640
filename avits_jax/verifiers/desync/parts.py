"""Synchformer as a record."""

from avits_jax.verifiers.desync.config import TINY, SynchformerConfig
from avits_jax.verifiers.desync.params import (
    SYNCHFORMER_IGNORED,
    SYNCHFORMER_RULES,
    build,
)
from avits_jax.verifiers.desync.sharding import RULES as SPLIT
from avits_jax.weights.model import Download, Model, Part

MODEL = Model(
    "synchformer",
    (
        Part(
            "",
            SynchformerConfig(),
            build,
            rules=SYNCHFORMER_RULES,
            ignored=lambda config: SYNCHFORMER_IGNORED,
            split=SPLIT,
            downloads=(
                Download(
                    "synchformer_state_dict.pth", "hkchengrex/MMAudio", 1.0, "MIT"
                ),
            ),
        ),
    ),
    reduced={"": TINY},
)

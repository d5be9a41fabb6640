"""CLAP's network as a record."""

import jax.numpy as jnp

from avits_jax.types import PyTree
from avits_jax.verifiers.clap.config import TINY, ClapConfig
from avits_jax.verifiers.clap.params import IGNORED, RULES, build
from avits_jax.verifiers.clap.sharding import RULES as SPLIT
from avits_jax.weights.model import Download, Model, Part

# Spread of a spectrogram in dB, for normalisation statistics that are not trained.
_TYPICAL_VARIANCE = 400.0


def _with_statistics(drawn: dict[str, PyTree]) -> dict[str, PyTree]:
    """Put a variance that a spectrogram can have among drawn weights."""
    tree = drawn[""]
    norm = tree["audio"]["mel_norm"]
    typical = jnp.full_like(norm["variance"], _TYPICAL_VARIANCE)
    audio = {**tree["audio"], "mel_norm": {**norm, "variance": typical}}
    return {"": {**tree, "audio": audio}}


MODEL = Model(
    "clap",
    (
        Part(
            "",
            ClapConfig(),
            build,
            rules=RULES,
            ignored=lambda config: IGNORED,
            split=SPLIT,
            downloads=(
                Download("all files", "laion/clap-htsat-unfused", 0.6, "Apache-2.0"),
            ),
        ),
    ),
    reduced={"": TINY},
    settle=_with_statistics,
)

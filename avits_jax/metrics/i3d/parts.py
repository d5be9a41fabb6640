"""I3D as a record."""

from dataclasses import dataclass

from avits_jax.metrics.i3d.params import IGNORED, RULES, build
from avits_jax.weights.model import Download, Model, Part


@dataclass(frozen=True)
class I3dConfig:
    """Nothing to choose: the network has its published sizes."""


MODEL = Model(
    "i3d",
    (
        Part(
            "",
            I3dConfig(),
            lambda config: build(),
            rules=RULES,
            ignored=lambda config: IGNORED,
            downloads=(
                Download(
                    "i3d_pretrained_400.pt",
                    "JavisVerse/JavisDiT (eval/javisbench/src/fvd)",
                    0.05,
                    "licence not seen",
                ),
            ),
        ),
    ),
)

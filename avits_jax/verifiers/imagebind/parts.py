"""ImageBind's network as a record."""

from avits_jax.networks.imagebind.config import TINY, ImageBindConfig
from avits_jax.networks.imagebind.params import IGNORED, RULES, build
from avits_jax.networks.imagebind.sharding import RULES as SPLIT
from avits_jax.weights.model import Download, Model, Part

MODEL = Model(
    "imagebind",
    (
        Part(
            "",
            ImageBindConfig(),
            build,
            rules=RULES,
            ignored=lambda config: IGNORED,
            split=SPLIT,
            downloads=(
                Download(
                    "imagebind_huge.pth",
                    "facebookresearch/ImageBind",
                    4.8,
                    "CC BY-NC-SA 4.0",
                ),
            ),
        ),
    ),
    reduced={"": TINY},
    notice="ImageBind's weights are licensed for non-commercial use only "
    "(CC BY-NC-SA 4.0)",
)

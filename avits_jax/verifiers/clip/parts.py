"""CLIP's network as a record.

A conversion reads transformers' files, or a state dict under OpenAI's names
(safetensors, or saved by ``torch.save(model.state_dict(), ...)``). OpenAI's own
``ViT-B-32.pt`` is a TorchScript archive, which holds code, and is refused.
"""

from avits_jax.networks.clip.config import TINY, ClipConfig
from avits_jax.networks.clip.params import IGNORED, RULES, build
from avits_jax.networks.clip.sharding import RULES as SPLIT
from avits_jax.weights.model import Download, Model, Part

MODEL = Model(
    "clip",
    (
        Part(
            "",
            ClipConfig(),
            build,
            rules=RULES,
            ignored=lambda config: IGNORED,
            split=SPLIT,
            downloads=(
                Download(
                    "pytorch_model.bin (or a state dict under OpenAI's names)",
                    "openai/clip-vit-base-patch32",
                    0.6,
                    "MIT",
                ),
            ),
        ),
    ),
    reduced={"": TINY},
)

"""PaSST as a record, and ready to run."""

from collections.abc import Callable
from pathlib import Path

from flax import nnx
from jaxtyping import Array, Float

from avits_jax.metrics.loading import load_network
from avits_jax.metrics.passt.config import TINY, PasstConfig
from avits_jax.metrics.passt.params import IGNORED, RULES, build
from avits_jax.metrics.passt.preprocess import fit_length, log_mel
from avits_jax.metrics.sound import SoundFeatures
from avits_jax.types import PyTree
from avits_jax.weights.model import Download, Model, Part

Hear = Callable[[PyTree, Float[Array, "B S"]], SoundFeatures]

MODEL = Model(
    "passt",
    (
        Part(
            "",
            PasstConfig(),
            build,
            rules=RULES,
            ignored=lambda config: IGNORED,
            downloads=(
                Download(
                    "passt-s-f128-p16-s10-ap.476-swa.pt",
                    "github.com/kkoutini/PaSST/releases/tag/v0.0.1-audioset",
                    0.34,
                    "Apache-2.0",
                ),
            ),
        ),
    ),
    reduced={"": TINY},
)


def load(
    folder: Path | str | None = None,
    random_weights: bool = False,
    tiny: bool = False,
    dtype: str = "float32",
) -> tuple[Hear, PyTree]:
    """Load PaSST, for FD_PaSST (features) and the inception score and KL (logits).

    Args:
        folder: a checkpoint that ``avits convert passt`` wrote; None for the place
            where it lies by default.
        random_weights: draw weights that are missing there.
        tiny: a reduced network with random weights.
        dtype: of the weights; published figures are of "float32".

    Returns:
        ``hear(params, waves) -> SoundFeatures``, and params. ``waves [B, S]`` are at
        32 kHz, as `avits_jax.metrics.sound.at_rate` makes them; they are cut to 10 s,
        or filled up with zeros. Features are ``[B, 768]`` float32, the mean of the two
        first tokens; logits ``[B, 527]``, without a sigmoid.

    Raises:
        ValueError: weights are missing (what to fetch is said) or damaged.
    """
    return load_network(MODEL, make, folder, random_weights, tiny, dtype)


def make(config: PasstConfig) -> Hear:
    """Return ``hear(params, waves) -> SoundFeatures``, see `load`.

    Args:
        config: sizes of the network.
    """
    graph, _ = build(config)

    def hear(params: PyTree, waves: Float[Array, "B S"]) -> SoundFeatures:
        return nnx.merge(graph, params)(log_mel(fit_length(waves), config.mel_bins))

    return hear

"""Cnn14 as a record, and ready to run."""

from collections.abc import Callable
from pathlib import Path

from flax import nnx
from jaxtyping import Array, Float

from avits_jax.metrics.cnn14.config import TINY, Cnn14Config
from avits_jax.metrics.cnn14.params import IGNORED, RULES, build
from avits_jax.metrics.cnn14.preprocess import log_mel
from avits_jax.metrics.loading import load_network
from avits_jax.metrics.sound import SoundFeatures, check_samples
from avits_jax.types import PyTree
from avits_jax.weights.model import Download, Model, Part

Hear = Callable[[PyTree, Float[Array, "B S"]], SoundFeatures]

MODEL = Model(
    "cnn14",
    (
        Part(
            "",
            Cnn14Config(),
            build,
            rules=RULES,
            ignored=lambda config: IGNORED,
            downloads=(
                Download(
                    "Cnn14_16k_mAP=0.438.pth",
                    "zenodo.org/records/3987831",
                    0.32,
                    "licence not seen",
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
    """Load Cnn14, for FD_PANNs (features) and the inception score and KL (logits).

    Args:
        folder: a checkpoint that ``avits convert cnn14`` wrote; None for the place
            where it lies by default.
        random_weights: draw weights that are missing there.
        tiny: a reduced network with random weights.
        dtype: of the weights; published figures are of "float32".

    Returns:
        ``hear(params, waves) -> SoundFeatures``, and params. ``waves [B, S]`` are at
        16 kHz, as `avits_jax.metrics.sound.at_rate` makes them. Features are
        ``[B, 2048]`` float32, behind a ReLU; logits ``[B, 527]``, without a sigmoid.
        Sounds of less than 0.31 s are refused.

    Raises:
        ValueError: weights are missing (what to fetch is said) or damaged.
    """
    return load_network(MODEL, make, folder, random_weights, tiny, dtype)


def make(config: Cnn14Config) -> Hear:
    """Return ``hear(params, waves) -> SoundFeatures``, see `load`.

    Args:
        config: sizes of the network.
    """
    graph, _ = build(config)

    def hear(params: PyTree, waves: Float[Array, "B S"]) -> SoundFeatures:
        check_samples("cnn14", waves, config.least_samples)
        return nnx.merge(graph, params)(log_mel(waves))

    return hear

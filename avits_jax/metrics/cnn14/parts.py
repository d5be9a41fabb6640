"""Cnn14 as a record, and ready to run."""

from collections.abc import Callable
from pathlib import Path

from flax import nnx
from jaxtyping import Array, Float

from avits_jax.metrics.cnn14.config import TINY, Cnn14Config
from avits_jax.metrics.cnn14.params import IGNORED, RULES, build
from avits_jax.metrics.cnn14.preprocess import log_mel
from avits_jax.metrics.loading import load_network
from avits_jax.metrics.sound import SoundFeatures, check_samples, nan_where_broken
from avits_jax.types import PyTree
from avits_jax.weights.model import Download, Model, Part

Apply = Callable[[PyTree, Float[Array, "B S"]], SoundFeatures]

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
    folder: str | Path | None = None,
    random_weights: bool = False,
    tiny: bool = False,
) -> tuple[Apply, PyTree]:
    """Load Cnn14, for FD_PANNs (features) and the inception score and KL (logits).

    Args:
        folder: a converted checkpoint.
        random_weights: draw weights of the published sizes.
        tiny: draw weights of reduced sizes.

    Returns:
        ``apply(params, waves) -> SoundFeatures``, and params. ``waves [B, S]`` are at
        16 kHz, as `avits_jax.metrics.sound.at_rate` makes them. Features are
        ``[B, 2048]`` float32, behind a ReLU; logits ``[B, 527]``, without a sigmoid;
        NaN for a sound that holds NaN or infinity. Sounds of less than 0.31 s are
        refused.

    Raises:
        ValueError: not exactly one of folder, random_weights and tiny is asked for.
        CheckpointError: the checkpoint is missing, damaged or of another model.
    """
    config, _, params = load_network(
        MODEL, folder, random_weights=random_weights, tiny=tiny
    )
    return make(config), params


def make(config: Cnn14Config) -> Apply:
    """Return ``apply(params, waves) -> SoundFeatures``, see `load`.

    Args:
        config: sizes of the network.
    """
    graph, _ = build(config)

    def apply(params: PyTree, waves: Float[Array, "B S"]) -> SoundFeatures:
        check_samples("cnn14", waves, config.least_samples)
        return nan_where_broken(nnx.merge(graph, params)(log_mel(waves)), waves)

    return apply

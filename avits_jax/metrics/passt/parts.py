"""PaSST as a record, and ready to run."""

from collections.abc import Callable
from pathlib import Path

from flax import nnx
from jaxtyping import Array, Float

from avits_jax.metrics.loading import load_network
from avits_jax.metrics.passt.config import TINY, PasstConfig
from avits_jax.metrics.passt.params import IGNORED, RULES, build
from avits_jax.metrics.passt.preprocess import fit_length, log_mel
from avits_jax.metrics.sound import SoundFeatures, check_samples, nan_where_broken
from avits_jax.types import PyTree
from avits_jax.weights.model import Download, Model, Part

Apply = Callable[[PyTree, Float[Array, "B S"]], SoundFeatures]

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
    folder: str | Path | None = None,
    random_weights: bool = False,
    tiny: bool = False,
) -> tuple[Apply, PyTree]:
    """Load PaSST, for FD_PaSST (features) and the inception score and KL (logits).

    Args:
        folder: a converted checkpoint.
        random_weights: draw weights of the published sizes.
        tiny: draw weights of reduced sizes.

    Returns:
        ``apply(params, waves) -> SoundFeatures``, and params. ``waves [B, S]`` are at
        32 kHz, as `avits_jax.metrics.sound.at_rate` makes them; they are cut to 10 s,
        or filled up with zeros. Features are ``[B, 768]`` float32, the mean of the two
        first tokens; logits ``[B, 527]``, without a sigmoid; NaN for a sound that holds
        NaN or infinity.

    Raises:
        ValueError: not exactly one of folder, random_weights and tiny is asked for.
        CheckpointError: the checkpoint is missing, damaged or of another model.
    """
    config, _, params = load_network(
        MODEL, folder, random_weights=random_weights, tiny=tiny
    )
    return make(config), params


def make(config: PasstConfig) -> Apply:
    """Return ``apply(params, waves) -> SoundFeatures``, see `load`.

    Args:
        config: sizes of the network.
    """
    graph, _ = build(config)

    def apply(params: PyTree, waves: Float[Array, "B S"]) -> SoundFeatures:
        check_samples("passt", waves, 1)
        mel = log_mel(fit_length(waves), config.mel_bins)
        return nan_where_broken(nnx.merge(graph, params)(mel), waves)

    return apply

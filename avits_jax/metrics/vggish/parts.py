"""VGGish as a record, and ready to run."""

from collections.abc import Callable
from pathlib import Path

from flax import nnx
from jaxtyping import Array, Float

from avits_jax.metrics.loading import load_network
from avits_jax.metrics.sound import check_samples, nan_where_broken
from avits_jax.metrics.vggish.config import TINY, VggishConfig
from avits_jax.metrics.vggish.params import IGNORED, RULES, build
from avits_jax.metrics.vggish.preprocess import LEAST_SAMPLES, pieces
from avits_jax.types import PyTree
from avits_jax.weights.model import Download, Model, Part

Apply = Callable[[PyTree, Float[Array, "B S"]], Float[Array, "B P E"]]

MODEL = Model(
    "vggish",
    (
        Part(
            "",
            VggishConfig(),
            build,
            rules=RULES,
            ignored=lambda config: IGNORED,
            downloads=(
                Download(
                    "vggish-10086976.pth",
                    "github.com/harritaylor/torchvggish/releases",
                    0.29,
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
    """Load VGGish, for FD_VGG.

    Args:
        folder: a converted checkpoint.
        random_weights: draw weights of the published sizes.
        tiny: draw weights of reduced sizes.

    Returns:
        ``apply(params, waves) -> features``, and params. ``waves [B, S]`` are at
        16 kHz, as `avits_jax.metrics.sound.at_rate` makes them. Features are
        ``[B, P, 128]`` float32, one row for every whole 0.96 s (8 of 8 s), NaN for a
        sound that holds NaN or infinity; FD_VGG pools the rows of all sounds. Sounds of
        less than 0.975 s, which have no row, are refused.

    Raises:
        ValueError: not exactly one of folder, random_weights and tiny is asked for.
        CheckpointError: the checkpoint is missing, damaged or of another model.
    """
    config, _, params = load_network(
        MODEL, folder, random_weights=random_weights, tiny=tiny
    )
    return make(config), params


def make(config: VggishConfig) -> Apply:
    """Return ``apply(params, waves) -> features``, see `load`.

    Args:
        config: sizes of the network.
    """
    graph, _ = build(config)

    def apply(params: PyTree, waves: Float[Array, "B S"]) -> Float[Array, "B P E"]:
        check_samples("vggish", waves, LEAST_SAMPLES)
        return nan_where_broken(nnx.merge(graph, params)(pieces(waves)), waves)

    return apply

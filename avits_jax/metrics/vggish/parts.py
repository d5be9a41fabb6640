"""VGGish as a record, and ready to run."""

from collections.abc import Callable
from pathlib import Path

from flax import nnx
from jaxtyping import Array, Float

from avits_jax.metrics.loading import load_network
from avits_jax.metrics.sound import check_samples
from avits_jax.metrics.vggish.config import TINY, VggishConfig
from avits_jax.metrics.vggish.params import IGNORED, RULES, build
from avits_jax.metrics.vggish.preprocess import LEAST_SAMPLES, pieces
from avits_jax.types import PyTree
from avits_jax.weights.model import Download, Model, Part

Hear = Callable[[PyTree, Float[Array, "B S"]], Float[Array, "B P E"]]

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
    folder: Path | str | None = None,
    random_weights: bool = False,
    tiny: bool = False,
    dtype: str = "float32",
) -> tuple[Hear, PyTree]:
    """Load VGGish, for FD_VGG.

    Args:
        folder: a checkpoint that ``avits convert vggish`` wrote; None for the place
            where it lies by default.
        random_weights: draw weights that are missing there.
        tiny: a reduced network with random weights.
        dtype: of the weights; published figures are of "float32".

    Returns:
        ``hear(params, waves) -> features``, and params. ``waves [B, S]`` are at 16 kHz,
        as `avits_jax.metrics.sound.at_rate` makes them. Features are ``[B, P, 128]``
        float32, one row for every whole 0.96 s (8 of 8 s); FD_VGG pools the rows of all
        sounds. Sounds of less than 0.975 s, which have none, are refused.

    Raises:
        ValueError: weights are missing (what to fetch is said) or damaged.
    """
    return load_network(MODEL, make, folder, random_weights, tiny, dtype)


def make(config: VggishConfig) -> Hear:
    """Return ``hear(params, waves) -> features``, see `load`.

    Args:
        config: sizes of the network.
    """
    graph, _ = build(config)

    def hear(params: PyTree, waves: Float[Array, "B S"]) -> Float[Array, "B P E"]:
        check_samples("vggish", waves, LEAST_SAMPLES)
        return nnx.merge(graph, params)(pieces(waves))

    return hear

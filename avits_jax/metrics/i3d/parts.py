"""I3D as a record, and as a function of clips."""

from collections.abc import Callable
from pathlib import Path

import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float, UInt8

from avits_jax.metrics.i3d import preprocess
from avits_jax.metrics.i3d.config import TINY, I3dConfig
from avits_jax.metrics.i3d.params import IGNORED, RULES, build
from avits_jax.metrics.loading import load_network
from avits_jax.types import PyTree
from avits_jax.verifiers.failures import broken, check_mode, failed_as_nan
from avits_jax.weights.model import Download, Model, Part

MODEL = Model(
    "i3d",
    (
        Part(
            "",
            I3dConfig(),
            build,
            rules=RULES,
            ignored=lambda config: IGNORED,
            downloads=(
                Download(
                    "i3d_pretrained_400.pt",
                    "JavisVerse/JavisDiT (eval/javisbench/src/fvd)",
                    0.05,
                    "licence of the weights unknown",
                ),
            ),
        ),
    ),
    reduced={"": TINY},
)

MODES = {"default": preprocess.cropped, "bench": preprocess.bench}


def load(
    folder: str | Path | None = None,
    random_weights: bool = False,
    tiny: bool = False,
    mode: str = "default",
) -> tuple[Callable[[PyTree, Array], Array], PyTree]:
    """Load the network of FVD and KVD as ``(apply, params)``.

    ``apply(params, frames)`` takes grey levels in [0, 255], ``[N, F, H, W, 3]`` of nine
    frames or more, and returns one row of features per clip, ``[N, 400]`` float32: the
    logits averaged over time, NaN for a clip that holds NaN or infinity. JavisBench
    takes the 24 frames of `avits_jax.metrics.frames.spread_frames`.

    Args:
        folder: a converted checkpoint.
        random_weights: draw weights of the published sizes.
        tiny: draw weights of reduced sizes.
        mode: how frames are prepared: "default", or "bench" as JavisBench does.

    Raises:
        ValueError: an unknown mode, or not exactly one of folder, random_weights, tiny.
        CheckpointError: the checkpoint is missing, damaged or of another model.
    """
    check_mode("I3D", mode, tuple(MODES))
    prepare = MODES[mode]
    _, graph, params = load_network(
        MODEL, folder, random_weights=random_weights, tiny=tiny
    )

    def apply(
        params: PyTree, frames: Float[Array, "N F H W 3"] | UInt8[Array, "N F H W 3"]
    ) -> Float[Array, "N classes"]:
        levels = jnp.asarray(frames, jnp.float32)
        rows = nnx.merge(graph, params)(prepare(levels))
        return failed_as_nan(jnp.mean(rows, 1), broken(levels))

    return apply, params

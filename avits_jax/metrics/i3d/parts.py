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
                    "licence not seen",
                ),
            ),
        ),
    ),
    reduced={"": TINY},
)

Apply = Callable[
    [PyTree, Float[Array, "N F H W 3"] | UInt8[Array, "N F H W 3"]],
    Float[Array, "N classes"],
]
MODES = {"default": preprocess.cropped, "bench": preprocess.bench}


def load(
    folder: str | Path | None = None,
    random_weights: bool = False,
    tiny: bool = False,
    mode: str = "default",
) -> tuple[Apply, PyTree]:
    """Load I3D, for FVD and KVD.

    Args:
        folder: a converted checkpoint.
        random_weights: draw weights of the published sizes.
        tiny: draw weights of reduced sizes.
        mode: how frames are prepared: "default", or "bench" as JavisBench does.

    Returns:
        ``apply(params, frames) -> features``, and params. ``frames [N, F, H, W, 3]``
        are grey levels in [0, 255], nine or more of each clip; JavisBench takes the 24
        of `avits_jax.metrics.frames.spread_frames`. Features are one row per clip,
        ``[N, 400]`` float32: the logits averaged over time, NaN for a clip that holds
        NaN or infinity.

    Raises:
        ValueError: an unknown mode, or not exactly one of folder, random_weights, tiny.
        CheckpointError: the checkpoint is missing, damaged or of another model.
    """
    check_mode("I3D", mode, tuple(MODES))
    config, _, params = load_network(
        MODEL, folder, random_weights=random_weights, tiny=tiny
    )
    return make(config, mode), params


def make(config: I3dConfig, mode: str = "default") -> Apply:
    """Return ``apply(params, frames) -> features``, see `load`.

    Args:
        config: sizes of the network.
        mode: "default" or "bench".

    Raises:
        ValueError: an unknown mode.
    """
    check_mode("I3D", mode, tuple(MODES))
    graph, _ = build(config)

    def apply(
        params: PyTree, frames: Float[Array, "N F H W 3"] | UInt8[Array, "N F H W 3"]
    ) -> Float[Array, "N classes"]:
        levels = jnp.asarray(frames, jnp.float32)
        rows = nnx.merge(graph, params)(MODES[mode](levels))
        return failed_as_nan(jnp.mean(rows, 1), broken(levels))

    return apply

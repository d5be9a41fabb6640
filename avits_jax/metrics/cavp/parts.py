"""CAVP as a record, and as a function of clips."""

from collections.abc import Callable
from pathlib import Path

import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float, UInt8

from avits_jax.metrics.cavp.config import FPS, TINY, CavpConfig
from avits_jax.metrics.cavp.params import IGNORED, RULES, build
from avits_jax.metrics.cavp.preprocess import spectrogram, squashed
from avits_jax.metrics.cavp.scores import cavp_score
from avits_jax.metrics.loading import load_network
from avits_jax.types import PyTree, Scores
from avits_jax.verifiers.failures import broken, failed_as_nan
from avits_jax.weights.model import Download, Model, Part

MODEL = Model(
    "cavp",
    (
        Part(
            "",
            CavpConfig(),
            build,
            rules=RULES,
            ignored=lambda config: IGNORED,
            downloads=(
                Download(
                    "diff_foley_ckpt/cavp_epoch66.ckpt",
                    "SimianLuo/Diff-Foley",
                    0.5,
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
) -> tuple[Callable[[PyTree, Array, Array], Scores], PyTree]:
    """Load CAVP's score as ``(apply, params)``.

    ``apply(params, frames, sound)`` takes grey levels in [0, 255], ``[N, T, H, W, 3]``
    at 4 frames a second of whole seconds (`preprocess.quarter_frames`), and mono sound
    at 16 kHz in [-1, 1], ``[N, S]``, of any length. It returns float32 scores ``[N]`` in
    [-1, 1], higher is better, NaN for a clip that holds NaN or infinity.

    Args:
        folder: a converted checkpoint.
        random_weights: draw weights of the published sizes.
        tiny: draw weights of reduced sizes.

    Raises:
        ValueError: not exactly one of folder, random_weights and tiny.
        CheckpointError: the checkpoint is missing, damaged or of another model.
    """
    config, graph, params = load_network(
        MODEL, folder, random_weights=random_weights, tiny=tiny
    )

    def apply(
        params: PyTree,
        frames: Float[Array, "N T H W 3"] | UInt8[Array, "N T H W 3"],
        sound: Float[Array, "N S"],
    ) -> Scores:
        levels = jnp.asarray(frames, jnp.float32)
        sound = jnp.asarray(sound, jnp.float32)
        seconds = _seconds(levels.shape[1])
        model = nnx.merge(graph, params)
        mel = spectrogram(sound, seconds, config.mel_bins)
        score = cavp_score(
            model.video_features(squashed(levels)), model.sound_features(mel)
        )
        return failed_as_nan(score, broken(levels), broken(sound))

    return apply, params


def _seconds(num_frames: int) -> int:
    if not num_frames or num_frames % FPS:
        raise ValueError(
            f"frames must be whole seconds at {FPS} Hz, got {num_frames} frames"
        )
    return num_frames // FPS

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


Apply = Callable[
    [
        PyTree,
        Float[Array, "N T H W 3"] | UInt8[Array, "N T H W 3"],
        Float[Array, "N S"],
    ],
    Scores,
]


def load(
    folder: str | Path | None = None,
    random_weights: bool = False,
    tiny: bool = False,
) -> tuple[Apply, PyTree]:
    """Load CAVP, for the score of that name.

    Args:
        folder: a converted checkpoint.
        random_weights: draw weights of the published sizes.
        tiny: draw weights of reduced sizes.

    Returns:
        ``apply(params, frames, sound) -> scores``, and params. ``frames
        [N, T, H, W, 3]`` are grey levels in [0, 255] at 4 a second, of whole seconds:
        those of `preprocess.quarter_frames`. ``sound [N, S]`` is mono at 16 kHz in
        [-1, 1], of any length. Scores are ``[N]`` float32 in [-1, 1], higher is better;
        NaN for a clip that holds NaN or infinity.

    Raises:
        ValueError: not exactly one of folder, random_weights and tiny.
        CheckpointError: the checkpoint is missing, damaged or of another model.
    """
    config, _, params = load_network(
        MODEL, folder, random_weights=random_weights, tiny=tiny
    )
    return make(config), params


def make(config: CavpConfig) -> Apply:
    """Return ``apply(params, frames, sound) -> scores``, see `load`.

    Args:
        config: sizes of the network.
    """
    graph, _ = build(config)

    def apply(
        params: PyTree,
        frames: Float[Array, "N T H W 3"] | UInt8[Array, "N T H W 3"],
        sound: Float[Array, "N S"],
    ) -> Scores:
        levels, wave = (jnp.asarray(each, jnp.float32) for each in (frames, sound))
        mel = spectrogram(wave, _seconds(levels.shape[1]), config.mel_bins)
        model = nnx.merge(graph, params)
        video = model.video_features(squashed(levels))
        score = cavp_score(video, model.sound_features(mel))
        return failed_as_nan(score, broken(levels), broken(wave))

    return apply


def _seconds(num_frames: int) -> int:
    if not num_frames or num_frames % FPS:
        raise ValueError(
            f"frames must be whole seconds at {FPS} Hz, got {num_frames} frames"
        )
    return num_frames // FPS

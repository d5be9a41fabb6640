"""AudioCLIP's audio head as a record, and as a function of sounds."""

from collections.abc import Callable
from pathlib import Path

import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from avits_jax.metrics.audioclip.config import TINY, AudioClipConfig
from avits_jax.metrics.audioclip.params import IGNORED, RULES, build
from avits_jax.metrics.loading import load_network
from avits_jax.types import PyTree
from avits_jax.verifiers.failures import broken, check_mode, failed_as_nan
from avits_jax.weights.model import Download, Model, Part

_FILTERS = ("spectrogram",)


def _untrained_filters(drawn: dict[str, PyTree]) -> dict[str, PyTree]:
    """Put plain waves among drawn weights, whose widths could be negative."""
    tree = drawn[""]
    filters = tree["spectrogram"]["filters"]
    bandwidth = jnp.ones_like(filters["bandwidth"])
    centre = jnp.arange(len(bandwidth), dtype=bandwidth.dtype)
    plain = {"order": 0 * bandwidth, "bandwidth": bandwidth, "centre": centre}
    return {"": {**tree, "spectrogram": {"filters": plain}}}


MODEL = Model(
    "audioclip",
    (
        Part(
            "",
            AudioClipConfig(),
            build,
            rules=RULES,
            ignored=lambda config: IGNORED,
            downloads=(
                Download(
                    "AudioCLIP-Full-Training.pt",
                    "AndreyGuzhov/AudioCLIP (release v0.1)",
                    0.5,
                    "MIT code, licence of the weights unknown",
                ),
            ),
            float32=_FILTERS,
        ),
    ),
    reduced={"": TINY},
    settle=_untrained_filters,
)

# Of a wave in [-1, 1]: 16-bit numbers as in training, or left as it is.
SCALES = {"default": 32_768.0, "bench": 1.0}


def load(
    folder: str | Path | None = None,
    random_weights: bool = False,
    tiny: bool = False,
    mode: str = "default",
) -> tuple[Callable[[PyTree, Array], Array], PyTree]:
    """Load the network of FAD as ``(apply, params)``.

    ``apply(params, sound)`` takes mono sound in [-1, 1], ``[N, S]``, and returns one
    embedding per clip, ``[N, 1024]`` float32, not normalised; NaN for a clip that holds
    NaN or infinity.

    Args:
        folder: a converted checkpoint.
        random_weights: draw weights of the published sizes.
        tiny: draw weights of reduced sizes.
        mode: "default" for sound at 44.1 kHz, which is scaled to 16-bit numbers as in
            training; "bench" for sound at 16 kHz of 4 s, which JavisBench hands over as
            it is, about 8 bit after the network's own rescaling.

    Raises:
        ValueError: an unknown mode, or not exactly one of folder, random_weights, tiny.
        CheckpointError: the checkpoint is missing, damaged or of another model.
    """
    check_mode("AudioCLIP", mode, tuple(SCALES))
    _, graph, params = load_network(
        MODEL, folder, random_weights=random_weights, tiny=tiny
    )

    def apply(params: PyTree, sound: Float[Array, "N S"]) -> Float[Array, "N E"]:
        wave = jnp.asarray(sound, jnp.float32)
        embedding = nnx.merge(graph, params)(SCALES[mode] * wave)
        return failed_as_nan(embedding, broken(wave))

    return apply, params

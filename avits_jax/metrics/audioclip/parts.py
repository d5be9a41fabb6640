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
                    "MIT code, licence not seen",
                ),
            ),
            float32=_FILTERS,
        ),
    ),
    reduced={"": TINY},
    settle=_untrained_filters,
)

Apply = Callable[[PyTree, Float[Array, "N S"]], Float[Array, "N E"]]

# Of a wave in [-1, 1]: 16-bit numbers as in training, or left as it is.
SCALES = {"default": 32_768.0, "bench": 1.0}


def load(
    folder: str | Path | None = None,
    random_weights: bool = False,
    tiny: bool = False,
    mode: str = "default",
) -> tuple[Apply, PyTree]:
    """Load AudioCLIP's audio head, for JavisBench's FAD.

    Args:
        folder: a converted checkpoint.
        random_weights: draw weights of the published sizes.
        tiny: draw weights of reduced sizes.
        mode: "default" for sound at 44.1 kHz, which is scaled to 16-bit numbers as in
            training; "bench" for sound at 16 kHz of 4 s, which JavisBench hands over as
            it is, so that the network's own rescaling leaves about 8 bit of it.

    Returns:
        ``apply(params, sound) -> embeddings``, and params. ``sound [N, S]`` is mono in
        [-1, 1], at the mode's rate. Embeddings are ``[N, 1024]`` float32, not
        normalised; NaN for a clip that holds NaN or infinity.

    Raises:
        ValueError: an unknown mode, or not exactly one of folder, random_weights, tiny.
        CheckpointError: the checkpoint is missing, damaged or of another model.
    """
    check_mode("AudioCLIP", mode, tuple(SCALES))
    config, _, params = load_network(
        MODEL, folder, random_weights=random_weights, tiny=tiny
    )
    return make(config, mode), params


def make(config: AudioClipConfig, mode: str = "default") -> Apply:
    """Return ``apply(params, sound) -> embeddings``, see `load`.

    Args:
        config: sizes of the network.
        mode: "default" or "bench".

    Raises:
        ValueError: an unknown mode.
    """
    check_mode("AudioCLIP", mode, tuple(SCALES))
    graph, _ = build(config)

    def apply(params: PyTree, sound: Float[Array, "N S"]) -> Float[Array, "N E"]:
        wave = jnp.asarray(sound, jnp.float32)
        embedding = nnx.merge(graph, params)(SCALES[mode] * wave)
        return failed_as_nan(embedding, broken(wave))

    return apply

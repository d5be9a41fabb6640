"""Audio quality (AQ) of JavisBench's tables: the mean of all four axes.

Complexity is one of them, so that busy sound has a higher quality.

Upstream: JavisVerse/JavisDiT at b505b37, eval/javisbench/src/metrics.py
(calc_audio_quality_score).
"""

import jax.numpy as jnp
from jaxtyping import Array, Float

from avits_jax.types import Media, Scores
from avits_jax.verifiers.audiobox.config import AXES
from avits_jax.verifiers.audiobox.modeling import Audiobox
from avits_jax.verifiers.audiobox.scores import WINDOW_BATCH, clip_scores
from avits_jax.verifiers.audiobox.waves import BENCH_SECONDS, WAVES
from avits_jax.verifiers.failures import check_mode, check_sound


def audio_quality(
    model: Audiobox,
    audio: Float[Array, "N *C S"],
    *,
    sample_rate: int,
    mode: str = "bench",
    seconds: float | None = BENCH_SECONDS,
    window_batch: int = WINDOW_BATCH,
) -> dict[str, Scores]:
    """Return JavisBench's audio quality of clips, and the axes that it is made of.

    Args:
        model: the network.
        audio: ``[N, S]`` or ``[N, C, S]`` in [-1, 1].
        sample_rate: Hz of the audio.
        mode: "bench" as published, which takes any rate for 16 kHz; "default" at the
            true rate, without silence that counts as sound.
        seconds: how much is heard at 16 kHz; None for all.
        window_batch: windows of at most 10 s worked on at once.

    Returns:
        float32 ``[N]`` by name: "audio_quality", the mean of "CE", "CU", "PC" and "PQ";
        NaN where the audio holds NaN or infinity.

    Raises:
        ValueError: an unknown mode, or clips without sound.
    """
    check_mode("Audiobox", mode, tuple(WAVES))
    check_sound(["audio_quality"], Media(audio, audio), sample_rate)
    scores = clip_scores(
        model,
        audio,
        sample_rate=sample_rate,
        wave=WAVES[mode][0],
        seconds=seconds,
        window_batch=window_batch,
    )
    axes = dict(zip(AXES, scores.T, strict=True))
    return {"audio_quality": jnp.mean(scores, -1), **axes}

"""Scores of whole sounds from those of their windows.

A sound is cut into windows of 10 s that do not overlap. The last one is followed by
silence, which changes its score, as in training; it counts for as much as it has sound.

Upstream: facebookresearch/audiobox-aesthetics, src/audiobox_aesthetics/infer.py
(make_inference_batch, AesPredictor.forward).
"""

import jax.numpy as jnp
from jaxtyping import Array, Float

from avits_jax.sampling.chunks import in_batches
from avits_jax.verifiers.audiobox.config import WINDOW
from avits_jax.verifiers.audiobox.modeling import Audiobox
from avits_jax.verifiers.audiobox.waves import Wave
from avits_jax.verifiers.failures import broken, failed_as_nan

WINDOW_BATCH = 8


def sound_scores(
    model: Audiobox, sound: Float[Array, "N S"], window_batch: int = WINDOW_BATCH
) -> Float[Array, "N 4"]:
    """Score sounds of one length on the scale of people's scores.

    Args:
        model: the network.
        sound: ``[N, S]`` at 16 kHz, at least one sample.
        window_batch: windows worked on at once.

    Returns:
        float32 scores by axis as in `config.AXES`, mostly in 1 ... 10.
    """

    def scores_of(part: Float[Array, "B s"]) -> Float[Array, "B 4"]:
        raw = in_batches(model, part, window_batch)
        return raw * jnp.asarray(model.config.stds) + jnp.asarray(model.config.means)

    count, rest = divmod(sound.shape[-1], WINDOW)
    total = jnp.zeros((len(sound), len(model.config.means)))
    if count:
        whole = sound[:, : count * WINDOW].reshape(-1, WINDOW)
        total += jnp.sum(scores_of(whole).reshape(len(sound), count, -1), 1)
    if rest:
        total += scores_of(sound[:, count * WINDOW :]) * (rest / WINDOW)
    return total / (count + rest / WINDOW)


def clip_scores(
    model: Audiobox,
    audio: Float[Array, "N *C S"],
    *,
    sample_rate: int,
    wave: Wave,
    seconds: float | None,
    window_batch: int = WINDOW_BATCH,
) -> Float[Array, "N 4"]:
    """Score the sound of clips on all axes.

    Args:
        model: the network.
        audio: ``[N, S]`` or ``[N, C, S]`` in [-1, 1], at least one sample.
        sample_rate: Hz of the audio.
        wave: how it is read: `waves.true_wave` or `waves.bench_wave`.
        seconds: how much is heard; None for all.
        window_batch: windows of at most 10 s worked on at once.

    Returns:
        float32 by axis as in `config.AXES`, NaN where the audio holds NaN or infinity.
    """
    channels = audio if audio.ndim == 3 else audio[:, None]
    sound = wave(channels.astype(jnp.float32), sample_rate, seconds)
    return failed_as_nan(sound_scores(model, sound, window_batch), broken(audio))

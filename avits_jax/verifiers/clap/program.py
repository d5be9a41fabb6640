"""CLAP scores of a population."""

from collections.abc import Callable

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from avits_jax.sampling.chunks import in_batches
from avits_jax.types import Media, Scores
from avits_jax.verifiers.clap.features import default_wave, log_mel
from avits_jax.verifiers.clap.modeling import Clap
from avits_jax.verifiers.failures import broken, check_sound, failed_as_nan

Wave = Callable[[Float[Array, "N C S"], int], Float[Array, "N length"]]


def score_clips(
    model: Clap,
    media: Media,
    ids: Int[Array, " L"],
    mask: Bool[Array, " L"],
    *,
    sample_rate: int,
    num_mels: int = 64,
    wave: Wave = default_wave,
    candidate_batch: int = 16,
) -> Scores:
    """Return the cosine between one text and every candidate's sound, in [-1, 1].

    Args:
        model: the encoders.
        media: audio ``[N, S]`` or ``[N, C, S]`` in [-1, 1]; the video is not looked at.
        ids: RoBERTa token ids.
        mask: False on padding.
        sample_rate: Hz of the audio.
        num_mels: mel bands of the audio encoder.
        wave: how the sound is read: `features.default_wave`, `bench_wave`, `its_wave`.
        candidate_batch: candidates worked on at once.

    Returns:
        float32 scores, NaN where the audio holds NaN or infinity; higher is better.

    Raises:
        ValueError: the clips have no sound.
    """
    check_sound(["clap"], media, sample_rate)
    audio = media.audio if media.audio.ndim == 3 else media.audio[:, None]
    waves = wave(audio.astype(jnp.float32), sample_rate)
    sound = in_batches(
        lambda waves: model.embed_audio(log_mel(waves, num_mels)),
        waves,
        candidate_batch,
    )
    text = model.embed_text(ids[None], mask[None])
    return failed_as_nan(jnp.sum(sound * text, -1), broken(media.audio))

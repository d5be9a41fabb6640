"""CLAP scores of a population."""

from collections.abc import Callable

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from avits_jax.types import Media, Scores
from avits_jax.verifiers.clap.features import default_wave, log_mel
from avits_jax.verifiers.clap.modeling import Clap

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
) -> Scores:
    """Cosine between one text and every candidate's sound, in [-1, 1].

    Args:
        model: the towers.
        media: audio ``[N, S]`` or ``[N, C, S]`` in [-1, 1]; the video is not looked at.
        ids: RoBERTa token ids.
        mask: False on padding.
        sample_rate: Hz of the audio.
        num_mels: mel bands of the audio tower.
        wave: how the sound is read: `features.default_wave`, `bench_wave`, `its_wave`.

    Returns:
        Scores, NaN where the audio holds NaN; higher is better.
    """
    audio = media.audio if media.audio.ndim == 3 else media.audio[:, None]
    sound = model.embed_audio(log_mel(wave(audio, sample_rate), num_mels))
    return jnp.sum(sound * model.embed_text(ids[None], mask[None]), -1)

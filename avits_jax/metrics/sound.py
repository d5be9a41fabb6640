"""Sound as the networks of metrics hear it, and what they make of it.

Upstream: hkchengrex/av-benchmark at 050a5cd, av_bench/data/audio_dataset.py
(AudioDataset), after haoheliu/audioldm_eval.
"""

from typing import NamedTuple, TypeVar

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from avits_jax.nn.resample import resample
from avits_jax.types import PyTree
from avits_jax.verifiers.failures import broken, failed_as_nan

Found = TypeVar("Found", bound=PyTree)

SECONDS = 8.0
"""What the VGGSound protocol hears of a clip."""


class SoundFeatures(NamedTuple):
    """What a classifier makes of sounds.

    Attributes:
        features: float32, for Frechet distances.
        logits: float32, of AudioSet's classes, for the inception score and KL.
    """

    features: Float[Array, "B D"]
    logits: Float[Array, "B K"]


def at_rate(
    audio: Float[Array, "B *C S"],
    sample_rate: int,
    target_rate: int,
    seconds: float = SECONDS,
) -> Float[Array, "B T"]:
    """Bring whole files to a network's rate, as av-benchmark reads them.

    Channels are averaged, the mean of the whole file is taken off, then it is
    resampled, and cut to its first ``seconds``; a shorter one is not filled up. NaN
    anywhere makes all of a file NaN.

    Args:
        audio: in [-1, 1] at ``sample_rate``; whole files, with or without channels.
        sample_rate: Hz of the audio.
        target_rate: Hz that the network wants.
        seconds: of sound that are kept.

    Raises:
        ValueError: ``seconds`` is not positive, a rate is not, or there is no sample.
    """
    if not seconds > 0:
        raise ValueError(f"seconds must be above 0, got {seconds}")
    if not audio.shape[-1]:
        raise ValueError(
            f"audio must hold at least one sample, got shape {audio.shape}"
        )
    mono = jnp.mean(audio, 1) if audio.ndim == 3 else audio
    mono = mono - jnp.mean(mono, -1, keepdims=True)
    return resample(mono, sample_rate, target_rate)[..., : int(target_rate * seconds)]


def check_samples(name: str, waves: Float[Array, "B S"], least: int) -> None:
    """Refuse sounds that are too short for a network.

    Raises:
        ValueError: it names the network, what it got and what it needs.
    """
    if waves.shape[-1] < least:
        raise ValueError(
            f"{name}: waves must have at least {least} samples, got {waves.shape[-1]}"
        )


def nan_where_broken(found: Found, waves: Float[Array, "B S"]) -> Found:
    """Put NaN for what was found of sounds that hold NaN or infinity.

    Args:
        found: tree of arrays ``[B, ...]``.
        waves: the sounds.
    """
    failed = broken(waves)
    return jax.tree.map(lambda x: failed_as_nan(x, failed), found)

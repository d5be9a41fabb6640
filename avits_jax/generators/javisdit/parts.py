"""JavisDiT's networks, each one record: the only place that lists them."""

from functools import cache
from typing import Any

import jax.numpy as jnp
import numpy as np

from avits_jax.generators.javisdit import params, sharding
from avits_jax.generators.javisdit.audio_vae import AudioVae, AudioVaeConfig
from avits_jax.generators.javisdit.config import Networks, TransformerConfig
from avits_jax.generators.javisdit.modeling import Transformer
from avits_jax.generators.javisdit.prior import PriorConfig, PriorEncoder
from avits_jax.generators.javisdit.schedule import Precision
from avits_jax.generators.javisdit.tiny import TINY
from avits_jax.generators.javisdit.video_vae import VideoVae, VideoVaeConfig
from avits_jax.networks.t5.modeling import T5Config, T5Encoder
from avits_jax.networks.t5.params import DECODER_IGNORED, encoder_rules
from avits_jax.nn.abstract import abstract
from avits_jax.types import PyTree
from avits_jax.weights.model import Download, Model, Part, Source

_UNSTATED = "licence not stated"
_LATENT_SCALE = (3.85, 2.32, 2.33, 3.06)
_LATENT_SHIFT = (-0.10, 0.34, 0.27, 0.98)


@cache
def build_transformer(
    config: TransformerConfig, precision: Precision = "float32"
) -> tuple[Any, PyTree]:
    """Return the transformer's static graph and the shapes of its weights."""
    return abstract(lambda rngs: Transformer(config, precision=precision, rngs=rngs))


@cache
def _build_prior(config: PriorConfig) -> tuple[Any, PyTree]:
    return abstract(lambda rngs: PriorEncoder(config, rngs=rngs))


@cache
def _build_video_vae(config: VideoVaeConfig) -> tuple[Any, PyTree]:
    return abstract(lambda rngs: VideoVae(config, rngs=rngs))


@cache
def _build_audio_vae(config: AudioVaeConfig) -> tuple[Any, PyTree]:
    return abstract(lambda rngs: AudioVae(config, rngs=rngs))


@cache
def _build_t5(config: T5Config) -> tuple[Any, PyTree]:
    return abstract(lambda rngs: T5Encoder(config, rngs=rngs))


# Gigabytes are those of float32 weights; half as many where bfloat16 is published.
PARTS = (
    Part(
        "transformer",
        TransformerConfig(),
        build_transformer,
        rules=params.TRANSFORMER_RULES,
        split=sharding.TRANSFORMER,
        sources=(Source(("transformer", "JavisDiT-v0.1-jav-240p4s")),),
        downloads=(
            Download(
                "transformer/", "JavisVerse/JavisDiT-v0.1-jav-240p4s", 14.9, _UNSTATED
            ),
        ),
        # Frequencies of positions: rounded, they shift everything.
        float32=("rotary",),
    ),
    Part(
        "prior",
        PriorConfig(),
        _build_prior,
        rules=params.PRIOR_RULES,
        ignored=lambda config: params.PRIOR_IGNORED,
        split=sharding.PRIOR,
        sources=(Source(("prior", "JavisDiT-v0.1-prior")),),
        downloads=(
            Download(
                "prior/",
                "JavisVerse/JavisDiT-v0.1-prior",
                1.5,
                f"{_UNSTATED}; holds ImageBind's text encoder: CC BY-NC-SA 4.0",
            ),
        ),
    ),
    Part(
        "video_vae",
        VideoVaeConfig(),
        _build_video_vae,
        rules=params.VIDEO_VAE_RULES,
        split=sharding.VIDEO_VAE,
        sources=(Source(("video_vae", "OpenSora-VAE-v1.2")),),
        downloads=(
            Download("video_vae/", "hpcai-tech/OpenSora-VAE-v1.2", 1.6, _UNSTATED),
        ),
        # Statistics of latents, likewise.
        float32=("shift", "scale"),
    ),
    Part(
        "audio_vae",
        AudioVaeConfig(),
        _build_audio_vae,
        rules=params.AUDIO_VAE_RULES,
        split=sharding.AUDIO_VAE,
        sources=(
            Source(("audio_vae/vae", "audioldm2/vae"), "vae."),
            Source(("audio_vae/vocoder", "audioldm2/vocoder"), "vocoder."),
        ),
        downloads=(
            Download(
                "audio_vae/vae/ and audio_vae/vocoder/",
                "cvssp/audioldm2",
                0.45,
                "CC BY-NC-SA 4.0",
            ),
        ),
    ),
    Part(
        "t5",
        T5Config(),
        _build_t5,
        rules=encoder_rules(),
        ignored=lambda config: DECODER_IGNORED,
        split=sharding.T5,
        sources=(Source(("t5", "t5-v1_1-xxl")),),
        downloads=(Download("t5/", "DeepFloyd/t5-v1_1-xxl", 19.0, _UNSTATED),),
    ),
)
PUBLISHED = Networks(**{part.name: part.config for part in PARTS})
"""Sizes of JavisDiT v0.1's networks."""


def _with_constants(drawn: dict[str, PyTree]) -> dict[str, PyTree]:
    """Put right the numbers that are no weights, among drawn ones."""
    rotary = drawn["transformer"]["rotary"]
    pairs = np.arange(rotary.size) / rotary.size
    transformer = {**drawn["transformer"], "rotary": _like(rotary, 10_000.0**-pairs)}
    video_vae = dict(drawn["video_vae"])
    if video_vae["scale"].size == len(_LATENT_SCALE):
        video_vae["scale"] = _like(video_vae["scale"], _LATENT_SCALE)
        video_vae["shift"] = _like(video_vae["shift"], _LATENT_SHIFT)
    return {**drawn, "transformer": transformer, "video_vae": video_vae}


def _like(array: Any, values: Any) -> Any:
    """Return other values in the array's dtype and place."""
    return array * 0 + jnp.asarray(values, array.dtype)


MODEL = Model(
    "javisdit-v0.1",
    PARTS,
    join=Networks,
    reduced=TINY._asdict(),
    settle=_with_constants,
    notice="JavisDiT's prior holds ImageBind's text encoder, and its sound decoder is "
    "AudioLDM2's: both are licensed for non-commercial use only (CC BY-NC-SA 4.0)",
)

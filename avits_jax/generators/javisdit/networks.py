"""JavisDiT's networks together: their sizes, static graphs and parameter shapes."""

from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

from avits_jax.generators.javisdit.audio_vae import AudioVae, AudioVaeConfig
from avits_jax.generators.javisdit.config import TransformerConfig
from avits_jax.generators.javisdit.modeling import Transformer
from avits_jax.generators.javisdit.prior import PriorConfig, PriorEncoder
from avits_jax.generators.javisdit.schedule import Precision
from avits_jax.generators.javisdit.video_vae import VideoVae, VideoVaeConfig
from avits_jax.networks.t5.modeling import T5Config, T5Encoder
from avits_jax.nn.abstract import abstract
from avits_jax.types import PyTree


@dataclass(frozen=True)
class JavisDiTConfig:
    """Sizes of all networks of JavisDiT; the defaults are those of v0.1.

    Attributes:
        transformer: the audio-video transformer.
        prior: the prior encoder.
        video_vae: the video autoencoder.
        audio_vae: the sound autoencoder.
        t5: the text encoder.
    """

    transformer: TransformerConfig = TransformerConfig()
    prior: PriorConfig = PriorConfig()
    video_vae: VideoVaeConfig = VideoVaeConfig()
    audio_vae: AudioVaeConfig = AudioVaeConfig()
    t5: T5Config = T5Config()


class Networks(NamedTuple):
    """One entry per network: its parameters, their shapes, or its static graph.

    Attributes:
        transformer: the audio-video transformer.
        prior: the prior encoder.
        video_vae: the video autoencoder.
        audio_vae: the sound autoencoder.
        t5: the text encoder; ``()`` where texts come as its states.
    """

    transformer: PyTree
    prior: PyTree
    video_vae: PyTree
    audio_vae: PyTree
    t5: PyTree = ()


def networks(
    config: JavisDiTConfig, precision: Precision = "float32"
) -> tuple[Networks, Networks]:
    """Return static graphs and parameter shapes of all networks, without memory.

    Args:
        config: sizes of the networks.
        precision: see `Transformer`.
    """
    return _networks(config, precision)  # one entry, however it was called


@lru_cache(maxsize=16)
def _networks(
    config: JavisDiTConfig, precision: Precision
) -> tuple[Networks, Networks]:
    made = Networks(
        abstract(
            lambda rngs: Transformer(config.transformer, precision=precision, rngs=rngs)
        ),
        abstract(lambda rngs: PriorEncoder(config.prior, rngs=rngs)),
        abstract(lambda rngs: VideoVae(config.video_vae, rngs=rngs)),
        abstract(lambda rngs: AudioVae(config.audio_vae, rngs=rngs)),
        abstract(lambda rngs: T5Encoder(config.t5, rngs=rngs)),
    )
    return Networks(*(graph for graph, _ in made)), Networks(
        *(like for _, like in made)
    )


def check_sizes(config: JavisDiTConfig) -> None:
    """Check that the networks' sizes fit each other.

    Raises:
        ValueError: some do not; all of them are listed.
    """
    transformer, prior = config.transformer, config.prior
    spatial, temporal = config.video_vae.spatial, config.video_vae.temporal
    pairs = {
        "t5.d_model": (config.t5.d_model, transformer.text_width),
        "prior.prior_width": (prior.prior_width, transformer.prior_width),
        "prior.spatial_tokens": (prior.spatial_tokens, transformer.spatial_tokens),
        "prior.temporal_tokens": (prior.temporal_tokens, transformer.temporal_tokens),
        "video_vae.temporal.embed_channels": (
            temporal.embed_channels,
            transformer.video_channels,
        ),
        "video_vae.spatial.latent_channels": (
            spatial.latent_channels,
            temporal.channels,
        ),
        "audio_vae.vae.latent_channels": (
            config.audio_vae.vae.latent_channels,
            transformer.audio_channels,
        ),
    }
    faults = [
        f"{name} is {found}, expected {wanted}"
        for name, (found, wanted) in pairs.items()
        if found != wanted
    ]
    if faults:
        raise ValueError(f"networks do not fit each other: {'; '.join(faults)}")

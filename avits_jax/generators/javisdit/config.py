"""Sizes of JavisDiT's audio-video transformer, and its networks by name."""

from dataclasses import dataclass
from typing import Any, NamedTuple

from avits_jax.weights.config import check_divides


@dataclass(frozen=True)
class TransformerConfig:
    """VASTDiT3; the defaults are VASTDiT3-XL/2 of JavisDiT v0.1.

    Attributes:
        video_channels: of the video latents; predictions have twice as many.
        audio_channels: of the audio latents; predictions have twice as many.
        video_patch: frames, rows and columns of a video token.
        audio_patch: time steps and mel columns of an audio token.
        width: of the residual streams.
        depth: levels, each of seven blocks.
        heads: attention heads; the audio-video exchange has half as many.
        mlp_ratio: hidden width of the MLPs over ``width``.
        text_width: of the text encoder's states.
        text_length: most tokens of a text, padding included.
        prior_width: of a prior token.
        spatial_tokens: tokens of the spatial prior.
        temporal_tokens: tokens of the temporal prior.
        base_size: pixels of the side of the square that positions are relative to.
    """

    video_channels: int = 4
    audio_channels: int = 8
    video_patch: tuple[int, int, int] = (1, 2, 2)
    audio_patch: tuple[int, int] = (4, 1)
    width: int = 1152
    depth: int = 28
    heads: int = 16
    mlp_ratio: float = 4.0
    text_width: int = 4096
    text_length: int = 300
    prior_width: int = 128
    spatial_tokens: int = 32
    temporal_tokens: int = 32
    base_size: int = 512

    def __post_init__(self) -> None:
        """Refuse heads that do not divide what they share."""
        check_divides(self, "heads", "width")

    @property
    def head_width(self) -> int:
        """Return how many numbers an attention head has."""
        return self.width // self.heads

    @property
    def mlp_width(self) -> int:
        """Return the hidden width of the MLPs."""
        return int(self.width * self.mlp_ratio)


class Networks(NamedTuple):
    """One entry per network: its sizes, static graph, shapes or parameters.

    Attributes:
        transformer: the audio-video transformer.
        prior: the prior encoder.
        video_vae: the video autoencoder.
        audio_vae: the sound autoencoder.
        t5: the text encoder; ``()`` where texts come as its states.
    """

    transformer: Any
    prior: Any
    video_vae: Any
    audio_vae: Any
    t5: Any = ()

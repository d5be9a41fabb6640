"""Sizes of mini's networks."""

from dataclasses import dataclass

from avits_jax.weights.config import check_divides


@dataclass(frozen=True)
class MiniConfig:
    """Sizes of mini's transformer and of its two autoencoders.

    Attributes:
        video_latent: numbers per video frame in the latent space.
        audio_latent: numbers per eighth of a second of sound.
        width, depth, heads: of the joint transformer.
        text_width, text_depth: of the prompt encoder.
        video_channels: of the frame autoencoder.
        audio_channels: of the sound autoencoder, per spectrogram frame.
        vocab_size: words known to the tokenizer, padding included.
        max_words: longest prompt in words.
    """

    video_latent: int = 32
    audio_latent: int = 24
    width: int = 160
    depth: int = 6
    heads: int = 5
    text_width: int = 64
    text_depth: int = 1
    video_channels: int = 64
    audio_channels: int = 48
    vocab_size: int = 128
    max_words: int = 24

    def __post_init__(self) -> None:
        """Refuse heads that do not divide what they share."""
        check_divides(self, "heads", "width")

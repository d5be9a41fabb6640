"""Sizes of the ImageBind encoders."""

from dataclasses import dataclass

from avits_jax.weights.config import check_divides


@dataclass(frozen=True)
class EncoderConfig:
    """One transformer trunk.

    Attributes:
        width: features per token.
        depth: number of blocks.
        heads: attention heads.
        extra_key: append one learned key and value to every attention.
    """

    width: int
    depth: int
    heads: int
    extra_key: bool = False

    def __post_init__(self) -> None:
        """Refuse heads that do not divide what they share."""
        check_divides(self, "heads", "width")


@dataclass(frozen=True)
class ImageBindConfig:
    """ImageBind's vision, audio and text encoders; the defaults are ImageBind-huge.

    Attributes:
        vision, audio, text: the trunks.
        embed_dim: size of the shared embedding.
        image_size, patch_size: pixels of a square frame's side and of a patch's side.
        num_frames: consecutive frames that one vision patch spans.
        mel_bins, mel_frames: size of one audio clip's log-mel picture.
        audio_patch, audio_stride: side and step of the overlapping audio patches.
        vocab_size: BPE tokens.
        context_length: tokens of one text, start and end included.
    """

    vision: EncoderConfig = EncoderConfig(1280, 32, 16)
    audio: EncoderConfig = EncoderConfig(768, 12, 12, extra_key=True)
    text: EncoderConfig = EncoderConfig(1024, 24, 16)
    embed_dim: int = 1024
    image_size: int = 224
    patch_size: int = 14
    num_frames: int = 2
    mel_bins: int = 128
    mel_frames: int = 204
    audio_patch: int = 16
    audio_stride: int = 10
    vocab_size: int = 49_408
    context_length: int = 77

    @property
    def vision_patches(self) -> int:
        """Return the patches of a frame, or of ``num_frames`` consecutive frames."""
        return (self.image_size // self.patch_size) ** 2

    @property
    def audio_patches(self) -> int:
        """Return the patches of one log-mel picture."""

        def count(size: int) -> int:
            return (size - self.audio_patch) // self.audio_stride + 1

        return count(self.mel_bins) * count(self.mel_frames)


TINY = ImageBindConfig(
    vision=EncoderConfig(16, 1, 2),
    audio=EncoderConfig(12, 1, 3, extra_key=True),
    text=EncoderConfig(8, 1, 2),
    embed_dim=6,
    image_size=28,
)
"""Reduced encoders; spectrograms, vocabulary and context are the published ones."""

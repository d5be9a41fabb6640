"""Sizes of the CLAP encoders."""

from dataclasses import dataclass

from avits_jax.weights.config import check_divides


@dataclass(frozen=True)
class TextConfig:
    """RoBERTa text encoder; the defaults are RoBERTa-base.

    Attributes:
        vocab_size: BPE tokens.
        width, depth, heads: transformer sizes.
        hidden: width inside the feed-forward layers.
        max_positions: rows of the position table, two more than the longest text.
        pad_id: id of padding; positions count from ``pad_id + 1``.
    """

    vocab_size: int = 50_265
    width: int = 768
    depth: int = 12
    heads: int = 12
    hidden: int = 3072
    max_positions: int = 514

    def __post_init__(self) -> None:
        """Refuse heads that do not divide what they share."""
        check_divides(self, "heads", "width")

    pad_id: int = 1


@dataclass(frozen=True)
class AudioConfig:
    """HTSAT audio encoder: a Swin transformer over a folded spectrogram.

    Attributes:
        mel_bins: mel bands of the input.
        image_size: side of the square that the spectrogram is folded into.
        patch_size: side of a patch.
        width: features of a patch; they double at every stage but the first.
        depths, heads: blocks and attention heads of each stage.
        window: side of an attention window, in patches.
        mlp_ratio: feed-forward width over width.
    """

    mel_bins: int = 64
    image_size: int = 256
    patch_size: int = 4
    width: int = 96
    depths: tuple[int, ...] = (2, 2, 6, 2)
    heads: tuple[int, ...] = (4, 8, 16, 32)
    window: int = 8
    mlp_ratio: float = 4.0

    @property
    def folds(self) -> int:
        """Return how many stretches of time are stacked along frequency."""
        return self.image_size // self.mel_bins

    @property
    def out_width(self) -> int:
        """Return the number of features after the last stage."""
        return self.width * 2 ** (len(self.depths) - 1)


@dataclass(frozen=True)
class ClapConfig:
    """CLAP; the defaults are ``laion/clap-htsat-unfused``.

    Attributes:
        text, audio: the encoders.
        embed_dim: size of the shared embedding.
    """

    text: TextConfig = TextConfig()
    audio: AudioConfig = AudioConfig()
    embed_dim: int = 512


TINY = ClapConfig(
    text=TextConfig(vocab_size=1000, width=8, depth=1, heads=2, hidden=16),
    audio=AudioConfig(
        patch_size=16, width=8, depths=(1, 1), heads=(1, 2), window=4, mlp_ratio=2.0
    ),
    embed_dim=32,
)
"""Reduced encoders; spectrogram and positions are the published ones."""

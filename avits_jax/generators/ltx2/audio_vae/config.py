"""Sizes of the sound autoencoder, the same in LTX-2 and LTX-2.3."""

from dataclasses import dataclass


@dataclass(frozen=True)
class AudioVaeConfig:
    """Sizes of the sound autoencoder.

    Attributes:
        channels: of the waveform, each with a spectrogram.
        num_mels: bands of a spectrogram.
        width: channels of the finest level.
        multipliers: of the width, by level, from fine to coarse; every level but the
            last halves time and bands.
        blocks: residual blocks of a level of the encoder; the decoder has one more.
        latent_channels: of a latent band.
        sample_rate: of the waveform that spectrograms are made of, Hz.
        n_fft: samples of a window of the spectrogram.
        hop: samples from one of its rows to the next.

    Raises:
        ValueError: the bands cannot be halved so often.
    """

    channels: int = 2
    num_mels: int = 64
    width: int = 128
    multipliers: tuple[int, ...] = (1, 2, 4)
    blocks: int = 2
    latent_channels: int = 8
    sample_rate: int = 16_000
    n_fft: int = 1024
    hop: int = 160

    def __post_init__(self) -> None:
        if self.num_mels % self.factor:
            raise ValueError(
                f"num_mels must be a multiple of {self.factor}, got {self.num_mels}"
            )

    @property
    def factor(self) -> int:
        """Return rows per latent row, which is bands per latent band."""
        return 2 ** (len(self.multipliers) - 1)

    @property
    def latent_bins(self) -> int:
        """Return the bands of a latent row."""
        return self.num_mels // self.factor

    @property
    def features(self) -> int:
        """Return the numbers of a token, which is a latent row."""
        return self.latent_channels * self.latent_bins

    @property
    def latents_per_second(self) -> float:
        """Return how many tokens a second has."""
        return self.sample_rate / self.hop / self.factor

    def mel_rows(self, latents: int) -> int:
        """Return the rows that so many tokens are decoded to."""
        return self.factor * (latents - 1) + 1

    def latent_rows(self, rows: int) -> int:
        """Return the tokens that so many rows are encoded as."""
        return -(-rows // self.factor)

    def num_rows(self, samples: int) -> int:
        """Return the rows of a waveform at ``sample_rate``."""
        return samples // self.hop + 1

"""Sizes of LTX-2.3's vocoder, and of LTX-2's."""

from dataclasses import dataclass
from math import prod

from avits_jax.networks.hifigan import HifiGanConfig

_BASE = HifiGanConfig(
    num_mels=128,
    out_channels=2,
    sample_rate=16_000,
    channels=1536,
    upsample_rates=(5, 2, 2, 2, 2, 2),
    upsample_kernels=(11, 4, 4, 4, 4, 4),
    activation="snakebeta",
    last_bias=False,
    tanh=False,
    statistics=False,
)
_EXTENSION = HifiGanConfig(
    num_mels=128,
    out_channels=2,
    sample_rate=48_000,
    channels=512,
    upsample_rates=(6, 5, 2, 2, 2),
    upsample_kernels=(12, 11, 4, 4, 4),
    activation="snakebeta",
    last_bias=False,
    tanh=False,
    statistics=False,
)


@dataclass(frozen=True)
class VocoderConfig:
    """Sizes of a vocoder.

    Attributes:
        base: of the network from the spectrogram to a waveform.
        extension: of the network from the base's spectrogram to what its waveform lacks
            at the higher rate.
        extends: there is an extension; without it the rest is of no account.
        clamp: cut the base's waveform to [-1, 1] before it is extended. ltx-core does,
            diffusers 0.42.1 does not (its converter writes ``final_act_fn: null``);
            where nothing is louder than 1 they agree. True by default, as in ltx-core,
            which is the publisher's own.
        n_fft: samples of a window of the base's spectrogram.
        hop: samples from one of its rows to the next.

    Raises:
        ValueError: the rates do not fit each other.
    """

    base: HifiGanConfig = _BASE
    extension: HifiGanConfig = _EXTENSION
    extends: bool = True
    clamp: bool = True
    n_fft: int = 512
    hop: int = 80

    def __post_init__(self) -> None:
        if not self.extends:
            return
        low, high = self.base.sample_rate, self.extension.sample_rate
        if high % low:
            raise ValueError(f"extension has {high} Hz, no multiple of {low} Hz")
        wanted = self.hop * (high // low)
        if prod(self.extension.upsample_rates) != wanted:
            raise ValueError(
                f"extension makes {prod(self.extension.upsample_rates)} samples of a "
                f"row, expected {wanted}"
            )
        if self.n_fft < self.hop:
            raise ValueError(f"n_fft must be at least {self.hop}, got {self.n_fft}")

    @property
    def channels(self) -> int:
        """Return the channels of spectrogram and waveform."""
        return self.base.out_channels

    @property
    def num_mels(self) -> int:
        """Return the mel bands of one channel."""
        return self.base.num_mels // self.channels

    @property
    def sample_rate(self) -> int:
        """Return the waveform's rate, Hz."""
        return (self.extension if self.extends else self.base).sample_rate

    def num_samples(self, rows: int) -> int:
        """Return the waveform's length of so many rows of mel bands."""
        low = self.base.num_samples(rows)
        return low * self.sample_rate // self.base.sample_rate


LTX_2_0 = VocoderConfig(
    base=HifiGanConfig(
        num_mels=128,
        out_channels=2,
        sample_rate=24_000,
        channels=1024,
        upsample_rates=(6, 5, 2, 2, 2),
        upsample_kernels=(16, 15, 8, 4, 4),
        statistics=False,
    ),
    extends=False,
)
"""Sizes of LTX-2's vocoder: 24 kHz, nothing is extended."""

"""Sizes of AudioCLIP's audio head, and the sound that it reads."""

from dataclasses import dataclass

SAMPLE_RATE = 44_100
"""Hz that the network was trained at."""
BENCH_RATE = 16_000
"""Hz at which JavisBench hands it sound."""
BENCH_SECONDS = 4.0
EXPANSION = 4
"""Channels after a block over those inside the plain one."""
_STAGES = 4


@dataclass(frozen=True)
class AudioClipConfig:
    """Sizes; the defaults are those of the published network.

    Attributes:
        n_fft: samples that a filter of the spectrogram reads.
        hop_length: samples from one frame to the next.
        win_length: samples of a frame; zeros fill it up to ``n_fft`` on both sides.
        width: channels after the first convolution.
        layers: blocks of each of the four stages.
        groups: of channels inside a block.
        width_per_group: channels of a group in the first stage where ``width`` is 64.
        embed_dim: size of the embedding.
    """

    n_fft: int = 2048
    hop_length: int = 561
    win_length: int = 1654
    width: int = 64
    layers: tuple[int, ...] = (3, 4, 6, 3)
    groups: int = 32
    width_per_group: int = 4
    embed_dim: int = 1024

    def __post_init__(self) -> None:
        """Refuse another number of stages, frames beyond a filter, or no band."""
        if len(self.layers) != _STAGES:
            raise ValueError(
                f"layers must have {_STAGES} entries, got {len(self.layers)}"
            )
        if self.win_length > self.n_fft:
            raise ValueError(
                f"win_length must be at most n_fft {self.n_fft}, got {self.win_length}"
            )
        if self.bins < 3 or not self.inner(0):
            raise ValueError(f"no network has sizes as small as {self}")

    @property
    def bins(self) -> int:
        """Return how many filters the spectrogram has."""
        return round(self.n_fft / 2) + 1

    def planes(self, stage: int) -> int:
        """Return the channels inside a plain block of a stage."""
        return self.width * 2**stage

    def inner(self, stage: int) -> int:
        """Return the channels inside a grouped block of a stage."""
        return self.planes(stage) * self.width_per_group // 64 * self.groups

    def outputs(self, stage: int) -> int:
        """Return the channels after a stage."""
        return EXPANSION * self.planes(stage)


TINY = AudioClipConfig(
    n_fft=200,
    hop_length=400,
    win_length=160,
    width=8,
    layers=(1, 1, 1, 1),
    groups=2,
    width_per_group=8,
    embed_dim=16,
)
"""Reduced network with short filters; the sound is the published one."""

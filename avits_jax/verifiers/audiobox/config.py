"""Sizes of Audiobox aesthetics, and the windows that it hears."""

from dataclasses import dataclass

from avits_jax.weights.config import check_divides

SAMPLE_RATE = 16_000
WINDOW = 10 * SAMPLE_RATE
"""Samples of a window; a shorter sound is followed by silence."""

AXES = ("CE", "CU", "PC", "PQ")
"""Content enjoyment and usefulness, production complexity and quality."""


@dataclass(frozen=True)
class WavLMConfig:
    """WavLM encoder of sound; the defaults are those of WavLM-Base+.

    Attributes:
        conv_widths, conv_kernels, conv_strides: of the convolutions that turn samples
            into frames, one entry each.
        width, depth, heads: transformer sizes.
        hidden: width inside the feed-forward layers.
        position_kernel: frames that the convolution over positions sees.
        position_groups: of its channels.
        num_buckets: rows of the table of position biases.
        max_distance: frames from which on all distances share a bucket.
    """

    conv_widths: tuple[int, ...] = (512,) * 7
    conv_kernels: tuple[int, ...] = (10, 3, 3, 3, 3, 2, 2)
    conv_strides: tuple[int, ...] = (5, 2, 2, 2, 2, 2, 2)
    width: int = 768
    depth: int = 12
    heads: int = 12
    hidden: int = 3072
    position_kernel: int = 128
    position_groups: int = 16
    num_buckets: int = 320
    max_distance: int = 800

    def __post_init__(self) -> None:
        """Refuse sizes that do not go together."""
        check_divides(self, "heads", "width")
        check_divides(self, "position_groups", "width")
        lengths = [len(self.conv_widths), len(self.conv_kernels)]
        if lengths != [len(self.conv_strides)] * 2:
            raise ValueError(
                "conv_widths, conv_kernels and conv_strides must have an entry for "
                f"each convolution, got {lengths[0]}, {lengths[1]} and "
                f"{len(self.conv_strides)}"
            )
        if self.num_buckets < 4 or self.max_distance <= self.num_buckets // 4:
            raise ValueError(
                "num_buckets must be at least 4 and less than 4 times max_distance, "
                f"got {self.num_buckets} and {self.max_distance}"
            )

    def frames(self, num_samples: int) -> int:
        """Return how many frames the convolutions make of samples."""
        for kernel, stride in zip(self.conv_kernels, self.conv_strides, strict=True):
            num_samples = max((num_samples - kernel) // stride + 1, 0)
        return num_samples

    def samples(self, num_frames: int, skip: int = 0) -> int:
        """Return what the last frames look at, of the input of convolution ``skip``."""
        sizes = zip(self.conv_kernels, self.conv_strides, strict=True)
        for kernel, stride in reversed(tuple(sizes)[skip:]):
            num_frames = (num_frames - 1) * stride + kernel
        return num_frames


@dataclass(frozen=True)
class AudioboxConfig:
    """Audiobox aesthetics; the defaults are ``facebook/audiobox-aesthetics``.

    Attributes:
        encoder: the encoder.
        head_depth: linear layers of each axis' head.
        means, stds: of the scores that people gave, by axis as in `AXES`; the heads
            give scores in units of them.
    """

    encoder: WavLMConfig = WavLMConfig()
    head_depth: int = 5
    means: tuple[float, float, float, float] = (5.06865, 5.73633, 3.18591, 6.57505)
    stds: tuple[float, float, float, float] = (1.93029, 1.75669, 1.86637, 1.51466)


TINY = AudioboxConfig(
    encoder=WavLMConfig(
        conv_widths=(8,) * 7,
        width=16,
        depth=1,
        heads=2,
        hidden=16,
        position_kernel=16,
        position_groups=4,
        num_buckets=32,
        max_distance=80,
    ),
    head_depth=2,
)
"""Reduced networks; the frames and the scale are the published ones."""

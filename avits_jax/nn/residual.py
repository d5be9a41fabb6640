"""Convolutions with fixed batch norm, and residual networks made of them.

Upstream: pytorch/vision, torchvision/models/resnet.py (Bottleneck); in three dimensions
open-mmlab/mmaction2, mmaction/models/backbones/resnet3d.py (Bottleneck3d).
"""

from collections.abc import Sequence

from flax import nnx
from jaxtyping import Array, Float

from avits_jax.nn.batch_norm import FixedBatchNorm
from avits_jax.nn.convolution import Convolution


class ConvNorm(nnx.Module):
    """Convolution without bias, then batch norm; over two or three axes of space."""

    def __init__(
        self,
        inputs: int,
        outputs: int,
        size: tuple[int, ...],
        stride: int | tuple[int, ...] = 1,
        *,
        groups: int = 1,
        padding: str | None = None,
        rngs: nnx.Rngs,
    ):
        """Build the layer.

        Args:
            inputs, outputs: channels.
            size: of the window, by axis.
            stride: of the window, the same for all axes or by axis.
            groups: of channels that do not see each other.
            padding: "SAME" as TensorFlow pads; None for half a window on either side.
            rngs: of the weights.
        """
        self.conv = Convolution(
            inputs,
            outputs,
            size,
            stride,
            groups=groups,
            padding=padding,
            use_bias=False,
            rngs=rngs,
        )
        self.norm = FixedBatchNorm(outputs)

    def __call__(self, x: Float[Array, "B *space C"]) -> Float[Array, "B *out D"]:
        return self.norm(self.conv(x))


class ConvPair(nnx.Module):
    """Two convolutions of 3 x 3, each with batch norm and ReLU (PANNs' ConvBlock)."""

    def __init__(self, inputs: int, outputs: int, *, rngs: nnx.Rngs):
        self.layer1 = ConvNorm(inputs, outputs, (3, 3), rngs=rngs)
        self.layer2 = ConvNorm(outputs, outputs, (3, 3), rngs=rngs)

    def __call__(self, x: Float[Array, "B H W C"]) -> Float[Array, "B H W D"]:
        return nnx.relu(self.layer2(nnx.relu(self.layer1(x))))


class Bottleneck(nnx.Module):
    """Three convolutions beside a shortcut; the one in the middle may have a stride."""

    def __init__(
        self,
        inputs: int,
        inner: int,
        outputs: int,
        sizes: tuple[tuple[int, ...], tuple[int, ...]],
        stride: tuple[int, ...],
        *,
        groups: int = 1,
        rngs: nnx.Rngs,
    ):
        """Build the block.

        Args:
            inputs, inner, outputs: channels before, inside and after it.
            sizes: windows of the first and the second convolution; the third has 1.
            stride: of the second and of the shortcut, by axis.
            groups: of the second.
            rngs: of the weights.
        """
        one = (1,) * len(stride)
        self.conv1 = ConvNorm(inputs, inner, sizes[0], rngs=rngs)
        self.conv2 = ConvNorm(inner, inner, sizes[1], stride, groups=groups, rngs=rngs)
        self.conv3 = ConvNorm(inner, outputs, one, rngs=rngs)
        straight = inputs == outputs and stride == one
        self.downsample = (
            None if straight else ConvNorm(inputs, outputs, one, stride, rngs=rngs)
        )

    def __call__(self, x: Float[Array, "B *space C"]) -> Float[Array, "B *out D"]:
        y = self.conv3(nnx.relu(self.conv2(nnx.relu(self.conv1(x)))))
        return nnx.relu(y + (x if self.downsample is None else self.downsample(x)))


def bottlenecks(
    channels: tuple[int, int, int],
    count: int,
    sizes: tuple[tuple[int, ...], tuple[int, ...]],
    stride: tuple[int, ...],
    *,
    groups: int = 1,
    rngs: nnx.Rngs,
) -> nnx.List[Bottleneck]:
    """Build a stage of blocks, of which the first alone has the stride.

    Args:
        channels: before, inside and after the blocks.
        count: blocks.
        sizes: windows of each block's first and second convolution.
        stride: by axis.
        groups: of each block's second convolution.
        rngs: of the weights.
    """
    inputs, inner, outputs = channels
    one = (1,) * len(stride)
    return nnx.List(
        [
            Bottleneck(
                outputs if index else inputs,
                inner,
                outputs,
                sizes,
                one if index else stride,
                groups=groups,
                rngs=rngs,
            )
            for index in range(count)
        ]
    )


def run_blocks(
    blocks: Sequence[Bottleneck], x: Float[Array, "B *space C"]
) -> Float[Array, "B *out D"]:
    """Apply blocks one after another."""
    for block in blocks:
        x = block(x)
    return x

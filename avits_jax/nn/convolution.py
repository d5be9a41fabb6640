"""Convolutions that flax does not have as they are needed here.

Upstream: `CausalConv3d` is of hpcaitech/Open-Sora, opensora/models/vae/vae_temporal.py.
"""

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

Video = Float[Array, "B T H W C"]
Filtered = Float[Array, "B t H W D"]
Kernel = Float[Array, "K Kh Kw C D"]


def upsample_nearest(x: Float[Array, "B H W C"]) -> Float[Array, "B 2*H 2*W C"]:
    """Double height and width by repeating pixels."""
    return jnp.repeat(jnp.repeat(x, 2, axis=1), 2, axis=2)


def _conv3d(x: Video, kernel: Kernel, stride: int) -> Filtered:
    """Convolve an array whose time axis is padded already."""
    margins = [(size // 2, size // 2) for size in kernel.shape[1:3]]
    return jax.lax.conv_general_dilated(
        x,
        kernel,
        (stride, 1, 1),
        [(0, 0), *margins],
        dimension_numbers=("NDHWC", "DHWIO", "NDHWC"),
    )


def _shifted_conv2d(x: Video, kernel: Kernel, stride: int) -> Filtered:
    """Return `_conv3d` as a sum of 2-D convolutions of shifted frames, fast on CPUs."""
    length = (x.shape[1] - kernel.shape[0]) // stride + 1
    total = None
    for offset, slab in enumerate(kernel):
        frames = x[:, offset : offset + stride * (length - 1) + 1 : stride]
        flat = frames.reshape(-1, *frames.shape[2:])
        margins = [(size // 2, size // 2) for size in slab.shape[:2]]
        part = jax.lax.conv_general_dilated(
            flat, slab, (1, 1), margins, dimension_numbers=("NHWC", "HWIO", "NHWC")
        )
        total = part if total is None else total + part
    assert total is not None
    return total.reshape(len(x), length, *total.shape[1:])


class CausalConv3d(nnx.Module):
    """Convolution over time and space that sees no later frame.

    Time is padded with zeros in front only, by ``kernel_size - stride`` frames; space
    with zeros on all sides.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int,
        *,
        stride: int = 1,
        use_bias: bool = True,
        rngs: nnx.Rngs,
    ):
        self.stride = stride
        shape = (kernel_size,) * 3 + (in_channels, out_channels)
        self.kernel = nnx.Param(
            nnx.initializers.lecun_normal()(rngs.params(), shape, jnp.float32)
        )
        self.bias = nnx.Param(jnp.zeros((out_channels,))) if use_bias else None

    def __call__(self, x: Video) -> Filtered:
        """Convolve ``[B, T, H, W, C]`` to ``[B, T / stride, H, W, D]``."""
        kernel = self.kernel[...].astype(x.dtype)
        front = kernel.shape[0] - self.stride
        x = jnp.pad(x, ((0, 0), (front, 0), (0, 0), (0, 0), (0, 0)))
        out = jax.lax.platform_dependent(
            x,
            kernel,
            cpu=lambda x, kernel: _shifted_conv2d(x, kernel, self.stride),
            default=lambda x, kernel: _conv3d(x, kernel, self.stride),
        )
        return out if self.bias is None else out + self.bias[...].astype(x.dtype)

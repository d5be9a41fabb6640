"""Convolutions that flax does not have as they are needed here.

Upstream: `CausalConv3d` is of hpcaitech/Open-Sora, opensora/models/vae/vae_temporal.py;
`RepeatConv3d` of huggingface/diffusers,
src/diffusers/models/autoencoders/autoencoder_kl_ltx2.py (LTX2VideoCausalConv3d).
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from avits_jax.nn import winograd

Picture = Float[Array, "B H W C"]
Video = Float[Array, "B T H W C"]
Filtered = Float[Array, "B t H W D"]
Kernel = Float[Array, "K Kh Kw C D"]
# Where space is padded less than half a window, less than there was.
Narrowed = Float[Array, "B t h w D"]
Margins = tuple[tuple[int, int], tuple[int, int]]  # zeros around rows and columns
_NONE: Margins = ((0, 0), (0, 0))


def upsample_nearest(x: Picture) -> Float[Array, "B 2*H 2*W C"]:
    """Double height and width by repeating pixels."""
    return jnp.repeat(jnp.repeat(x, 2, axis=1), 2, axis=2)


def _half(shape: tuple[int, ...]) -> Margins:
    """Return margins with which space keeps its size, for a kernel of this shape."""
    rows, columns = (size // 2 for size in shape[-4:-2])
    return (rows, rows), (columns, columns)


def _conv2d(
    x: Picture, kernel: Float[Array, "Kh Kw C D"], margins: Margins
) -> Float[Array, "B h w D"]:
    return jax.lax.conv_general_dilated(
        x, kernel, (1, 1), margins, dimension_numbers=("NHWC", "HWIO", "NHWC")
    )


def _conv3d(x: Video, kernel: Kernel, stride: int, margins: Margins) -> Narrowed:
    """Convolve an array whose time axis is padded already."""
    return jax.lax.conv_general_dilated(
        x,
        kernel,
        (stride, 1, 1),
        ((0, 0), *margins),
        dimension_numbers=("NDHWC", "DHWIO", "NDHWC"),
    )


def _shifted_conv2d(
    x: Video, kernel: Kernel, stride: int, margins: Margins
) -> Narrowed:
    """Return `_conv3d` as a sum of 2-D convolutions of shifted frames, fast on CPUs.

    XLA's convolution takes a CPU three times as long where it pads nothing. So one
    column too many is padded, and cut off again, where none is asked for.
    """
    length = (x.shape[1] - kernel.shape[0]) // stride + 1
    cut = int(margins == _NONE)
    rows, (left, right) = margins
    total = None
    for offset, slab in enumerate(kernel):
        frames = x[:, offset : offset + stride * (length - 1) + 1 : stride]
        pictures = frames.reshape(-1, *frames.shape[2:])
        part = _conv2d(pictures, slab, (rows, (left + cut, right)))
        total = part if total is None else total + part
    assert total is not None
    total = total[:, :, cut:]
    return total.reshape(len(x), length, *total.shape[1:])


def _on_cpu(x: Video, kernel: Kernel, stride: int, margins: Margins) -> Narrowed:
    """Return `_conv3d` in the form that is fastest on a CPU."""
    if stride != 1 or not winograd.pays(x, kernel):
        return _shifted_conv2d(x, kernel, stride, margins)
    x = jnp.pad(x, ((0, 0), (0, 0), *margins, (0, 0)))
    return winograd.convolve(x, kernel)


def _convolve(x: Video, kernel: Kernel, stride: int, margins: Margins) -> Narrowed:
    """Convolve an array whose time axis is padded already, as suits the machine."""
    return jax.lax.platform_dependent(
        x,
        kernel,
        cpu=lambda x, kernel: _on_cpu(x, kernel, stride, margins),
        default=lambda x, kernel: _conv3d(x, kernel, stride, margins),
    )


def _new_kernel(shape: tuple[int, ...], rngs: nnx.Rngs) -> nnx.Param:
    return nnx.Param(nnx.initializers.lecun_normal()(rngs.params(), shape, jnp.float32))


class Conv2d(nnx.Module):
    """Convolution over space, padded with zeros so that it keeps its size.

    Columns are padded on both sides; so are rows, unless it is causal: then in front.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int,
        *,
        causal: bool = False,
        use_bias: bool = True,
        rngs: nnx.Rngs,
    ):
        self.causal = causal
        shape = (kernel_size,) * 2 + (in_channels, out_channels)
        self.kernel = _new_kernel(shape, rngs)
        self.bias = nnx.Param(jnp.zeros((out_channels,))) if use_bias else None

    def __call__(self, x: Float[Array, "*B H W C"]) -> Float[Array, "*B H W D"]:
        """Convolve ``[*B, H, W, C]`` to ``[*B, H, W, D]``."""
        kernel = jnp.asarray(self.kernel[...], x.dtype)
        leading, x = x.shape[:-3], x.reshape(-1, *x.shape[-3:])
        rows, columns = _half(kernel.shape)
        margins = ((sum(rows), 0) if self.causal else rows), columns
        out = jax.lax.platform_dependent(
            x,
            kernel,
            cpu=lambda x, kernel: _on_cpu(x[:, None], kernel[None], 1, margins)[:, 0],
            default=lambda x, kernel: _conv2d(x, kernel, margins),
        )
        out = out.reshape(*leading, *out.shape[1:])
        return out if self.bias is None else out + self.bias[...].astype(x.dtype)


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
        self.kernel = _new_kernel(shape, rngs)
        self.bias = nnx.Param(jnp.zeros((out_channels,))) if use_bias else None

    def __call__(self, x: Video) -> Filtered:
        """Convolve ``[B, T, H, W, C]`` to ``[B, T / stride, H, W, D]``."""
        kernel = self.kernel[...].astype(x.dtype)
        front = kernel.shape[0] - self.stride
        x = jnp.pad(x, ((0, 0), (front, 0), (0, 0), (0, 0), (0, 0)))
        out = _convolve(x, kernel, self.stride, _half(kernel.shape))
        return out if self.bias is None else out + self.bias[...].astype(x.dtype)


class RepeatConv3d(nnx.Module):
    """Convolution over time and space, of 3 x 3 x 3, that repeats frames at the ends.

    Time is padded by a copy of the first and one of the last frame, or, if causal, by
    two of the first. Space is padded with zeros, or by reflection without the border.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        *,
        causal: bool = False,
        reflect: bool = False,
        rngs: nnx.Rngs,
    ):
        self.before_after = (2, 0) if causal else (1, 1)
        self.reflect = reflect
        self.kernel = _new_kernel((3, 3, 3, in_channels, out_channels), rngs)
        self.bias = nnx.Param(jnp.zeros((out_channels,)))

    def __call__(
        self, x: Video, reorder: Callable[[Array], Array] = lambda weight: weight
    ) -> Filtered:
        """Convolve ``[B, T, H, W, C]`` to ``[B, T, H, W, D]``.

        Args:
            x: in the dtype in which to compute.
            reorder: puts the last axis of an array in another order; done to the
                weights, it spares the result, which is larger.
        """
        none = (0, 0)
        x = jnp.pad(x, (none, self.before_after, none, none, none), "edge")
        if self.reflect:
            x = jnp.pad(x, (none, none, (1, 1), (1, 1), none), "reflect")
        kernel, bias = (
            reorder(w[...]).astype(x.dtype) for w in (self.kernel, self.bias)
        )
        margins = _NONE if self.reflect else _half(kernel.shape)
        return _convolve(x, kernel, 1, margins) + bias

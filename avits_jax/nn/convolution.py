"""Convolutions that flax does not have as they are needed here.

Upstream: `CausalConv3d` is of hpcaitech/Open-Sora, opensora/models/vae/vae_temporal.py;
`RepeatConv3d` of huggingface/diffusers,
src/diffusers/models/autoencoders/autoencoder_kl_ltx2.py (LTX2VideoCausalConv3d).
"""

import itertools
import math
from collections.abc import Callable, Sequence
from functools import partial

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from avits_jax.nn import grouped, winograd

Picture = Float[Array, "B H W C"]
Video = Float[Array, "B T H W C"]
Filtered = Float[Array, "B t H W D"]
Margins = Sequence[tuple[int, int]]  # zeros before and behind, by axis
_NONE = (0, 0)
# Of a convolution of which XLA's own would mostly read the weights.
_FEW_PIXELS, _MANY_CHANNELS = range(32, 321), 512


def upsample_nearest(x: Picture) -> Float[Array, "B 2*H 2*W C"]:
    """Double height and width by repeating pixels."""
    return jnp.repeat(jnp.repeat(x, 2, axis=1), 2, axis=2)


def half(window: Sequence[int]) -> tuple[tuple[int, int], ...]:
    """Return margins with which axes keep their size, for a window of odd sides."""
    return tuple((side // 2, side // 2) for side in window)


def convolve(
    x: Float[Array, "B *space C"],
    kernel: Float[Array, "*window I D"],
    strides: Sequence[int],
    margins: Margins,
    groups: int = 1,
) -> Float[Array, "B *out D"]:
    """Convolve over space, or over time and space, in the form that suits the machine.

    Args:
        x: of the kernel's dtype.
        kernel: two or three axes of window.
        strides: by axis.
        margins: zeros before and behind, by axis.
        groups: of channels that do not see each other.
    """
    plain = partial(_plain, strides=strides, margins=margins, groups=groups)
    form = partial(_groups_on_cpu, groups=groups) if groups > 1 else _on_cpu
    on_cpu = partial(form, strides=strides, margins=margins)
    return jax.lax.platform_dependent(x, kernel, cpu=on_cpu, default=plain)


def _plain(
    x: Array, kernel: Array, strides: Sequence[int], margins: Margins, groups: int = 1
) -> Array:
    axes = "DHW"[-len(strides) :]
    return jax.lax.conv_general_dilated(
        x,
        kernel,
        strides,
        margins,
        dimension_numbers=(f"N{axes}C", f"{axes}IO", f"N{axes}C"),
        feature_group_count=groups,
    )


def _on_cpu(x: Array, kernel: Array, strides: Sequence[int], margins: Margins) -> Array:
    """Return `_plain` in the form that is fastest on a CPU."""
    if len(strides) == 2:
        strides, margins = (1, *strides), (_NONE, *margins)
        return _on_cpu(x[:, None], kernel[None], strides, margins)[:, 0]
    if max(strides) == 1 and winograd.pays(x, kernel):
        return winograd.convolve(jnp.pad(x, (_NONE, *margins, _NONE)), kernel)
    if max(strides) == 1 and _has_few_pixels(x, kernel):
        return _as_product(x, kernel, margins)
    return _shifted_conv2d(x, kernel, strides, margins)


def _groups_on_cpu(
    x: Array, kernel: Array, strides: Sequence[int], margins: Margins, groups: int
) -> Array:
    """Return `_plain` of groups in the form that is fastest on a CPU."""
    if grouped.is_by_channel(kernel, groups):
        x = jnp.pad(x, (_NONE, *margins, _NONE))
        return grouped.convolve_by_channel(x, kernel, strides)
    kernel, groups = grouped.merge(kernel, groups)
    return _plain(x, kernel, strides, margins, groups)


def _has_few_pixels(x: Array, kernel: Array) -> bool:
    pixels = math.prod(x.shape[:-1])
    return kernel.shape[-2] >= _MANY_CHANNELS and pixels in _FEW_PIXELS


def _as_product(x: Array, kernel: Array, margins: Margins) -> Array:
    """Return `_plain` as the product of all windows' numbers with the weights."""
    x = jnp.pad(x, (_NONE, *margins, _NONE))
    sides = kernel.shape[:3]
    sizes = [size - side + 1 for size, side in zip(x.shape[1:4], sides, strict=True)]
    windows = [
        x[:, time : time + sizes[0], row : row + sizes[1], column : column + sizes[2]]
        for time, row, column in itertools.product(*map(range, sides))
    ]
    weights = kernel.reshape(-1, kernel.shape[-1])
    return jnp.matmul(jnp.concatenate(windows, -1), weights)


def _shifted_conv2d(
    x: Array, kernel: Array, strides: Sequence[int], margins: Margins
) -> Array:
    """Return `_plain` as a sum of 2-D convolutions of shifted frames, fast on CPUs.

    XLA's convolution takes a CPU three times as long where it pads nothing. So one
    stride of columns too many is padded, and its result cut off again, where a window
    of several pixels asks for none.
    """
    time, rows, (left, right) = margins
    x = jnp.pad(x, (_NONE, time, _NONE, _NONE, _NONE))
    step, *strides = strides
    length = (x.shape[1] - kernel.shape[0]) // step + 1
    cut = int(rows == (left, right) == _NONE and kernel.shape[1:3] != (1, 1))
    total = None
    for offset, slab in enumerate(kernel):
        frames = x[:, offset : offset + step * (length - 1) + 1 : step]
        pictures = frames.reshape(-1, *frames.shape[2:])
        part = _plain(pictures, slab, strides, (rows, (left + cut * strides[1], right)))
        total = part if total is None else total + part
    assert total is not None
    total = total[:, :, cut:]
    return total.reshape(len(x), length, *total.shape[1:])


def _new_kernel(shape: tuple[int, ...], rngs: nnx.Rngs) -> nnx.Param:
    return nnx.Param(nnx.initializers.lecun_normal()(rngs.params(), shape, jnp.float32))


class Convolution(nnx.Module):
    """`flax.nnx.Conv` over space, or over time and space, as suits the machine."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        size: Sequence[int],
        stride: int | Sequence[int] = 1,
        *,
        groups: int = 1,
        padding: str | Margins | None = None,
        use_bias: bool = True,
        rngs: nnx.Rngs,
    ):
        """Build the layer.

        Args:
            in_channels, out_channels: channels.
            size: of the window, by axis.
            stride: of the window, the same for all axes or by axis.
            groups: of channels that do not see each other.
            padding: zeros before and behind, by axis; "SAME" as TensorFlow pads; None
                for half a window on either side.
            use_bias: add one number for each channel.
            rngs: of the weights.
        """
        self.strides = (stride,) * len(size) if isinstance(stride, int) else stride
        self.groups = groups
        self.padding = half(size) if padding is None else padding
        self.kernel = _new_kernel((*size, in_channels // groups, out_channels), rngs)
        self.bias = nnx.Param(jnp.zeros((out_channels,))) if use_bias else None

    def __call__(self, x: Float[Array, "..."]) -> Float[Array, "..."]:
        """Convolve ``[*B, *space, C]`` to ``[*B, *out, D]``."""
        kernel = jnp.asarray(self.kernel[...], x.dtype)
        window, margins = kernel.shape[:-2], self.padding
        leading, inner = x.shape[: -len(window) - 1], x.shape[-len(window) - 1 :]
        if isinstance(margins, str):
            margins = jax.lax.padtype_to_pads(inner[:-1], window, self.strides, margins)
        x = x.reshape(-1, *inner)
        out = convolve(x, kernel, self.strides, margins, self.groups)
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
        margins = (_NONE, *half(kernel.shape[1:3]))
        out = convolve(x, kernel, (self.stride, 1, 1), margins)
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
        x = jnp.pad(x, (_NONE, self.before_after, _NONE, _NONE, _NONE), "edge")
        if self.reflect:
            x = jnp.pad(x, (_NONE, _NONE, (1, 1), (1, 1), _NONE), "reflect")
        kernel, bias = (
            reorder(w[...]).astype(x.dtype) for w in (self.kernel, self.bias)
        )
        space = (_NONE, _NONE) if self.reflect else half(kernel.shape[1:3])
        return convolve(x, kernel, (1, 1, 1), (_NONE, *space)) + bias

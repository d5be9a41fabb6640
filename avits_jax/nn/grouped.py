"""Convolutions of groups of channels that do not see each other, for CPUs.

Here groups of one channel are sums of shifted arrays, up to twenty times faster than
XLA's (``tools/bench_conv.py``), and groups of some channels are merged into wider ones
whose other weights are zero. A number that is not finite in one group makes those of
the merged one so, too.
"""

import itertools
import math
from collections.abc import Sequence

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

_FEW_TAPS = 32  # shifted arrays of a sum
# Channels of a group below which they are merged, and up to how many.
_NARROW, _WIDE = 16, 32


def is_by_channel(kernel: Float[Array, "*window I D"], groups: int) -> bool:
    """Tell whether `convolve_by_channel` takes a kernel."""
    *window, inward, outward = kernel.shape
    return inward == 1 and outward == groups and math.prod(window) <= _FEW_TAPS


def convolve_by_channel(
    x: Float[Array, "B *space C"],
    kernel: Float[Array, "*window 1 C"],
    strides: Sequence[int],
) -> Float[Array, "B *out C"]:
    """Convolve every channel by itself, over space that is padded already.

    Args:
        x: of the kernel's dtype; sums are float32 where it is shorter.
        kernel: two or three axes of window.
        strides: by axis.
    """
    window = kernel.shape[:-2]
    dtype = jnp.promote_types(x.dtype, jnp.float32)
    total = jnp.zeros((), dtype)
    for tap in itertools.product(*map(range, window)):
        reach = [
            size - side + 1 + first
            for size, side, first in zip(x.shape[1:-1], window, tap, strict=True)
        ]
        starts, stops = (0, *tap, 0), (len(x), *reach, x.shape[-1])
        shifted = jax.lax.slice(x, starts, stops, (1, *strides, 1))
        total = total + shifted.astype(dtype) * kernel[tap][0].astype(dtype)
    return total.astype(x.dtype)


def merge(
    kernel: Float[Array, "*window I D"], groups: int
) -> tuple[Float[Array, "*window J D"], int]:
    """Merge narrow groups to wider ones, which XLA's convolution multiplies well.

    Args:
        kernel: of groups of I channels.
        groups: of channels.

    Returns:
        The kernel of wider groups, whose new weights are zero, and how many they are.
    """
    *window, inward, outward = kernel.shape
    if inward >= _NARROW:
        return kernel, groups
    most = min(groups, _WIDE // inward)
    together = max(n for n in range(1, most + 1) if groups % n == 0)
    parts = kernel.reshape(*window, 1, inward, groups // together, together, -1)
    own = jnp.eye(together, dtype=kernel.dtype).reshape(together, 1, 1, together, 1)
    return (
        (parts * own).reshape(*window, together * inward, outward),
        groups // together,
    )

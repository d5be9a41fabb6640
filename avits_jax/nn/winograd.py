"""Convolutions of 3 x 3 with 4 products in the place of 9 (for CPUs).

Four numbers of a row make two results of a window of three: six products, or four of
sums of the numbers and sums of the weights. Along both axes of space these are 16
products for a tile of four results, not 36. Rounding differs from that of a plain
convolution, by no more than the order of its sums does.

Source: Winograd's F(2 x 2, 3 x 3), as in Lavin and Gray, "Fast Algorithms for
Convolutional Neural Networks" (arXiv 1509.09308), section 4.1.
"""

import math

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

_FEWEST_CHANNELS = 48  # below, the sums take longer than the products that they save
_FEWEST_TILES = 64  # below, those of the weights do,
_FEWEST_OF_LARGE, _LARGE = 128, 2**22  # and of weights whose sums are out of cache
# Sums of so many bytes go to memory and back, for which there must be more products.
_OUT_OF_CACHE, _FEWEST_PRODUCTS = 6_500_000, 160
_SIZE = 3


def pays(x: Float[Array, "B T H W C"], kernel: Float[Array, "K Kh Kw C D"]) -> bool:
    """Return whether `convolve` is faster on a CPU than a plain convolution."""
    tiles = math.prod(x.shape[:4]) // 4
    channels = min(kernel.shape[3:])
    cached = x.size * x.dtype.itemsize < _OUT_OF_CACHE
    return (
        kernel.shape[1:3] == (_SIZE, _SIZE)
        and channels >= _FEWEST_CHANNELS
        and (cached or len(kernel) * channels >= _FEWEST_PRODUCTS)
        and tiles >= (_FEWEST_OF_LARGE if kernel.size >= _LARGE else _FEWEST_TILES)
        and jnp.finfo(kernel.dtype).bits >= 32  # the sums would lose half a digit
    )


def convolve(
    x: Float[Array, "B T H W C"], kernel: Float[Array, "K 3 3 C D"]
) -> Float[Array, "B t h w D"]:
    """Convolve an array that is padded already.

    Args:
        x: of at least as many frames, rows and columns as the window has.
        kernel: of the same dtype.

    Returns:
        ``K - 1`` frames, two rows and two columns less.
    """
    height, width = (size - _SIZE + 1 for size in x.shape[2:4])
    none = (0, 0)
    x = jnp.pad(x, (none, none, (0, height % 2), (0, width % 2), none))
    products = [
        [_product(tile, weight) for tile, weight in zip(*row, strict=True)]
        for row in zip(_sums_of_tiles(x), _sums_of_weights(kernel), strict=True)
    ]
    rows = [_results(row) for row in products]
    even, odd = (_results(column) for column in zip(*rows, strict=True))
    pairs = [jnp.stack(pair, 4) for pair in zip(even, odd, strict=True)]
    out = jnp.stack(pairs, 3)
    batch, frames, tall, _, wide, _, channels = out.shape
    out = out.reshape(batch, frames, 2 * tall, 2 * wide, channels)
    return out[:, :, :height, :width]


def _sums_of_tiles(x: Array) -> list[list[Array]]:
    """Return 4 x 4 arrays of ``[B, T, h, w, C]``: what is multiplied of each tile."""
    return [_sums_of_four(each, 3) for each in _sums_of_four(x, 2)]


def _sums_of_four(x: Array, axis: int) -> list[Array]:
    reach = x.shape[axis] - 3
    first, second, third, fourth = (
        jax.lax.slice_in_dim(x, tap, tap + reach, 2, axis) for tap in range(4)
    )
    return [first - third, second + third, third - second, second - fourth]


def _sums_of_weights(kernel: Array) -> list[list[Array]]:
    """Return 4 x 4 arrays of ``[K, C, D]``, what tiles are multiplied with."""
    return [_sums_of_three(each, 1) for each in _sums_of_three(kernel, 1)]


def _sums_of_three(kernel: Array, axis: int) -> list[Array]:
    first, second, third = jnp.unstack(kernel, axis=axis)
    outer = first + third
    return [first, (outer + second) / 2, (outer - second) / 2, third]


def _product(tiles: Array, weights: Array) -> Array:
    """Return ``[B, t, h, w, D]``, summed over channels and over frames of a window.

    A window over time is one over all tiles in a row, its taps a frame apart: XLA has
    that as fast as a matrix product, and no frame is copied for it.
    """
    batch, frames, height, width, channels = tiles.shape
    out = jax.lax.conv_general_dilated(
        tiles.reshape(batch, -1, channels),
        weights,
        (1,),
        "VALID",
        rhs_dilation=(height * width,),
        dimension_numbers=("NWC", "WIO", "NWC"),
    )
    frames -= len(weights) - 1
    return out.reshape(batch, frames, height, width, out.shape[-1])


def _results(products: list[Array] | tuple[Array, ...]) -> tuple[Array, Array]:
    """Return the even and the odd of the results along an axis."""
    first, second, third, fourth = products
    return first + second + third, second - third - fourth

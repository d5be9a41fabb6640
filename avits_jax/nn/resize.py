"""Image resizing as two matrix products, with the conventions of the common libraries.

A resize is separable and linear, so each axis is one small constant matrix. That maps
onto matrix units, works under jit with no gather, and lets one function cover bilinear
and bicubic, with and without antialias, half-pixel and corner-aligned.

Upstream: python-pillow/Pillow, src/libImaging/Resample.c, for kernels with antialias.
"""

from collections.abc import Callable
from functools import lru_cache

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

Kernel = Callable[[np.ndarray], np.ndarray]


def triangle(x: np.ndarray) -> np.ndarray:
    """Return the bilinear kernel."""
    return np.maximum(0.0, 1.0 - np.abs(x))


def _cubic(x: np.ndarray, a: float) -> np.ndarray:
    x = np.abs(x)
    inner = ((a + 2) * x - (a + 3)) * x * x + 1
    outer = (((x - 5) * x + 8) * x - 4) * a
    return np.where(x < 1, inner, np.where(x < 2, outer, 0.0))


def cubic_pil(x: np.ndarray) -> np.ndarray:
    """Return the bicubic kernel with a = -0.5: PIL, and torch with antialias."""
    return _cubic(x, -0.5)


def cubic_torch(x: np.ndarray) -> np.ndarray:
    """Return the bicubic kernel with a = -0.75: torch without antialias, and OpenCV."""
    return _cubic(x, -0.75)


@lru_cache(maxsize=64)
def resize_matrix(
    source: int,
    target: int,
    kernel: Kernel,
    antialias: bool = False,
    align_corners: bool = False,
) -> Float[np.ndarray, "target source"]:
    """Return weights that take ``source`` to ``target`` samples along one axis.

    With ``antialias`` the kernel widens when shrinking and is renormalised at the
    border, as in PIL. Without it the border sample is repeated, as in torch and OpenCV.
    """
    if antialias:
        centre = (np.arange(target) + 0.5) * (source / target) - 0.5
        width = max(source / target, 1.0)
        matrix = kernel((np.arange(source) - centre[:, None]) / width)
        return (matrix / matrix.sum(1, keepdims=True)).astype(np.float32)
    # Places are rounded to float32 once, as torch's are: at steep edges that shows.
    places, shift = np.arange(target), 0.0 if align_corners else 0.5
    step = (source - 1) / max(target - 1, 1) if align_corners else source / target
    centre = (places + shift) * np.float64(np.float32(step)) - shift
    centre = centre.astype(np.float32).astype(np.float64)
    matrix = np.zeros((target, source))
    rows = np.arange(target)
    for offset in (-1, 0, 1, 2):
        tap = np.floor(centre).astype(int) + offset
        np.add.at(matrix, (rows, np.clip(tap, 0, source - 1)), kernel(tap - centre))
    return matrix.astype(np.float32)


def apply_rows(
    matrix: Float[np.ndarray, "P H"], x: Float[Array, "*B H W C"]
) -> Float[Array, "*B P W C"]:
    """Resize the vertical axis."""
    return jnp.einsum(
        "ph,...hwc->...pwc", matrix, x, precision=jax.lax.Precision.HIGHEST
    )


def apply_columns(
    matrix: Float[np.ndarray, "Q W"], x: Float[Array, "*B H W C"]
) -> Float[Array, "*B H Q C"]:
    """Resize the horizontal axis."""
    return jnp.einsum(
        "qw,...hwc->...hqc", matrix, x, precision=jax.lax.Precision.HIGHEST
    )


def resize(
    x: Float[Array, "*B H W C"],
    size: tuple[int, int],
    kernel: Kernel = triangle,
    *,
    antialias: bool = False,
    align_corners: bool = False,
) -> Float[Array, "*B P Q C"]:
    """Resize images to ``size`` (height, width), values unrounded.

    ``kernel=triangle`` alone equals torch's ``interpolate(mode="bilinear",
    align_corners=False)`` and OpenCV's ``INTER_LINEAR``.
    """
    height, width = x.shape[-3:-1]
    rows = resize_matrix(height, size[0], kernel, antialias, align_corners)
    columns = resize_matrix(width, size[1], kernel, antialias, align_corners)
    return apply_columns(columns, apply_rows(rows, x))


def round_levels(x: Float[Array, "*B"]) -> Float[Array, "*B"]:
    """Round half up to whole grey levels in [0, 255], as PIL does."""
    return jnp.clip(jnp.floor(x + 0.5), 0.0, 255.0)


def resize_levels(
    x: Float[Array, "*B H W C"], size: tuple[int, int]
) -> Float[Array, "*B P Q C"]:
    """Resize grey levels in [0, 255] by antialiased bicubic, as PIL does on uint8.

    PIL works along rows first and rounds to whole levels after each axis; its integer
    weights may still differ by one level from ours. (Pillow 13 starts with the columns
    where the height shrinks much more than the width.)
    """
    height, width = x.shape[-3:-1]
    columns = resize_matrix(width, size[1], cubic_pil, antialias=True)
    rows = resize_matrix(height, size[0], cubic_pil, antialias=True)
    return _apply_to_levels(rows, columns, x)


def _apply_to_levels(
    rows: Float[np.ndarray, "P H"],
    columns: Float[np.ndarray, "Q W"],
    x: Float[Array, "*B H W C"],
) -> Float[Array, "*B P Q C"]:
    return round_levels(apply_rows(rows, round_levels(apply_columns(columns, x))))


def short_side(height: int, width: int, side: int) -> tuple[int, int]:
    """Return a size of short side ``side``, aspect kept, the long one rounded down."""
    if height <= width:
        return side, side * width // height
    return side * height // width, side


def crop(
    x: Float[Array, "*B H W C"], top: int, left: int, size: tuple[int, int]
) -> Float[Array, "*B P Q C"]:
    """Cut a window of ``size`` (height, width) out of images."""
    return x[..., top : top + size[0], left : left + size[1], :]


def _centre(size: int, side: int) -> slice:
    """Return the middle of an axis; odd margins round half to even (torchvision)."""
    start = round((size - side) / 2)
    return slice(start, start + side)


def _square_matrices(
    height: int, width: int, side: int
) -> tuple[Float[np.ndarray, "side H"], Float[np.ndarray, "side W"]]:
    """Return `square`'s matrices, without what the crop would cut off."""
    sizes = short_side(height, width, side)
    rows, columns = (
        resize_matrix(source, target, cubic_pil, antialias=True)[_centre(target, side)]
        for source, target in zip((height, width), sizes, strict=True)
    )
    return rows, columns


def square(
    video: Float[Array, "*B H W C"], side: int
) -> Float[Array, "*B side side C"]:
    """Resize the short side by antialiased bicubic, aspect kept, and crop the centre.

    ``video`` is in [0, 1]; the overshoot of the bicubic kernel is clipped.
    """
    height, width = video.shape[-3:-1]
    rows, columns = _square_matrices(height, width, side)
    return jnp.clip(apply_columns(columns, apply_rows(rows, video)), 0.0, 1.0)


def square_levels(
    levels: Float[Array, "*B H W C"], side: int
) -> Float[Array, "*B side side C"]:
    """Apply `square` to whole levels in [0, 255], rounded after each axis as in PIL."""
    height, width = levels.shape[-3:-1]
    return _apply_to_levels(*_square_matrices(height, width, side), levels)

"""Cut images into patches, so that a patch embedding is one matrix product."""

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float


def patchify(
    images: Float[Array, "*B H W C"], patch: int, stride: int | None = None
) -> Float[Array, "*B P {patch}*{patch}*C"]:
    """Cut square patches row by row, each flattened as (y, x, channel).

    Args:
        images: height, width and channels last.
        patch: pixels on a side of a patch.
        stride: pixels from one patch to the next, ``patch`` by default. Pixels that no
            whole patch reaches are left out.

    Raises:
        ValueError: if a side is shorter than ``patch``.
    """
    *batch, height, width, channels = images.shape
    if min(height, width) < patch:
        raise ValueError(
            f"images must be at least {patch} pixels high and wide, got "
            f"{height}x{width}"
        )
    if stride in (None, patch):
        rows, columns = height // patch, width // patch
        x = images[..., : rows * patch, : columns * patch, :]
        x = x.reshape(*batch, rows, patch, columns, patch, channels)
        x = jnp.swapaxes(x, -4, -3)
    else:
        down, across = (_windows(size, patch, stride) for size in (height, width))
        rows, columns = len(down), len(across)
        x = images[..., down[:, None, :, None], across[None, :, None, :], :]
    return x.reshape(*batch, rows * columns, patch * patch * channels)


def _windows(length: int, size: int, stride: int) -> np.ndarray:
    """Return indices ``[count, size]`` of the windows along one axis."""
    starts = np.arange(0, length - size + 1, stride)
    return starts[:, None] + np.arange(size)


def patch_kernel(weight: np.ndarray) -> np.ndarray:
    """Turn a patch convolution's ``[out, in, *window]`` into `patchify`'s matrix.

    The window may have a leading time axis, which then varies slowest.
    """
    return np.moveaxis(weight, (0, 1), (-1, -2)).reshape(-1, weight.shape[0])

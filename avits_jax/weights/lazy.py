"""Leaves of a checkpoint that are larger than memory (host only)."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np

CHUNK_BYTES = 2**25
"""What a stored chunk of an array takes, about."""


@dataclass(frozen=True, eq=False)
class LazyArray:
    """A leaf for `checkpoint.save` that is made and written slice by slice.

    Attributes:
        shape: of the whole leaf.
        dtype: in which it is stored; slices are cast to it.
        stacked: number of leading axes that slices are indexed by.
        slices: makes all slices, each with its index along those axes; where there are
            none, it may be blocks of rows.
    """

    shape: tuple[int, ...]
    dtype: np.dtype
    stacked: int
    slices: Callable[[], Iterable[tuple[tuple[int, ...], np.ndarray]]]

    @property
    def size(self) -> int:
        """Return the number of elements."""
        return int(np.prod(self.shape))

    @property
    def nbytes(self) -> int:
        """Return the bytes of the whole leaf."""
        return self.size * self.dtype.itemsize


def chunk_shape(array: np.ndarray | LazyArray) -> list[int]:
    """Return a stored chunk's shape: part of one slice, of about ``CHUNK_BYTES``."""
    shape, stacked = list(array.shape), getattr(array, "stacked", 0)
    for axis in range(len(shape)):
        rest = int(np.prod(shape[axis + 1 :])) * array.dtype.itemsize
        if axis >= stacked and rest <= CHUNK_BYTES:
            return (
                [1] * axis + [min(shape[axis], CHUNK_BYTES // rest)] + shape[axis + 1 :]
            )
    return [1] * len(shape)

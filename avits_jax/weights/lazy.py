"""Leaves of a checkpoint that are larger than memory (host only)."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, eq=False)
class LazyArray:
    """A leaf for `checkpoint.save` that is made and written slice by slice.

    Attributes:
        shape: of the whole leaf.
        dtype: in which it is stored; slices are cast to it.
        stacked: number of leading axes that slices are indexed by.
        slices: makes all slices, each with its index along those axes.
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

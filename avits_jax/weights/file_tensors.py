"""Tensors that stay in their file until they are asked for (host only)."""

import math
import zlib
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np

from avits_jax.weights.name_map import WeightsError

BFLOAT16 = np.dtype(ml_dtypes.bfloat16)
MOST_AXES = 64
"""Axes that an array of numpy can have."""
_BLOCK = 2**20


def contiguous_strides(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Return the strides in elements of a row-major array.

    Args:
        shape: of the array, at most `MOST_AXES` long.
    """
    return tuple(math.prod(shape[axis + 1 :]) for axis in range(len(shape)))


@dataclass(frozen=True, eq=False)
class CheckedBytes:
    """A run of bytes of a file, and the CRC-32 that it must have.

    Attributes:
        path: the file.
        start: first byte.
        size: in bytes.
        crc: as the file states it.
    """

    path: Path
    start: int
    size: int
    crc: int

    @cached_property
    def intact(self) -> bool:
        """Tell whether the bytes have their checksum; they are read once."""
        found, left = 0, self.size
        with self.path.open("rb") as stream:
            stream.seek(self.start)
            while left and (block := stream.read(min(left, _BLOCK))):
                found, left = zlib.crc32(block, found), left - len(block)
        return not left and found == self.crc


@dataclass(frozen=True)
class FileTensor:
    """Where a tensor's numbers are in a file.

    Attributes:
        path: the file.
        start: byte of the first element.
        dtype: in which the numbers are stored.
        shape: of the tensor.
        strides: distance of neighbours along each axis, in elements.
        checked: the bytes around it that have a checksum, or None.
    """

    path: Path
    start: int
    dtype: np.dtype
    shape: tuple[int, ...]
    strides: tuple[int, ...]
    checked: CheckedBytes | None = None

    @property
    def span(self) -> int:
        """Return the elements from the first to the last one, both included."""
        return element_span(self.shape, self.strides)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        """Read the numbers; half-precision floats come as float32."""
        if self.checked is not None and not self.checked.intact:
            raise WeightsError(f"{self.path} is damaged: a checksum does not match")
        count = self.span * self.dtype.itemsize
        raw = np.fromfile(self.path, np.uint8, count, offset=self.start)
        if len(raw) != count:
            raise WeightsError(f"{self.path} is truncated: it ends inside a tensor")
        flat = raw.view(self.dtype)
        steps = [stride * self.dtype.itemsize for stride in self.strides]
        array = np.lib.stride_tricks.as_strided(flat, self.shape, steps)
        half = self.dtype.itemsize < 4 and self.dtype.kind not in "iub"
        return array.astype(dtype or (np.float32 if half else self.dtype), copy=False)


def element_span(shape: tuple[int, ...], strides: tuple[int, ...]) -> int:
    """Return the elements that a strided view reaches over, 0 for an empty one.

    Args:
        shape: of the view.
        strides: in elements, none negative.
    """
    if 0 in shape:
        return 0
    steps = zip(shape, strides, strict=True)
    return 1 + sum((size - 1) * stride for size, stride in steps)

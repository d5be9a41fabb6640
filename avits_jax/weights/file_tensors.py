"""Tensors that stay in their file until they are asked for (host only)."""

import math
import zlib
from dataclasses import dataclass, replace
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
_WORTH_SEEKING = 2**10  # numbers in a row
_READ_AT_ONCE = 2**26  # bytes


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

    def block(
        self, axis: int, start: int, stop: int | None = None, step: int = 1
    ) -> "FileTensor":
        """Return the entries of a slice along an axis, unread."""
        taken = range(*slice(start, stop, step).indices(self.shape[axis]))
        stride = self.strides[axis]
        return replace(
            self,
            start=self.start + taken.start * stride * self.dtype.itemsize,
            shape=(*self.shape[:axis], len(taken), *self.shape[axis + 1 :]),
            strides=(*self.strides[:axis], stride * step, *self.strides[axis + 1 :]),
        )

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        """Read the numbers; half-precision floats come as float32."""
        half = self.dtype.itemsize < 4 and self.dtype.kind not in "iub"
        wanted = np.dtype(dtype or (np.float32 if half else self.dtype))
        if self.checked is not None and not self.checked.intact:
            raise WeightsError(f"{self.path} is damaged: a checksum does not match")
        axis, step = self._reads()
        if axis is None:
            return self._read().astype(wanted, copy=False)
        array = np.empty(self.shape, wanted)
        for i in range(0, self.shape[axis], step):
            index = (slice(None),) * axis + (slice(i, i + step),)
            array[index] = self.block(axis, i, i + step)
        return array

    def _reads(self) -> tuple[int | None, int]:
        """Return the axis along which the numbers are read piecemeal, and the steps.

        So that little is in memory beside the result, and nothing is read of what lies
        between rows that are far apart.
        """
        long = [axis for axis, size in enumerate(self.shape) if size > 1]
        if len(long) < 2 or 0 in self.shape:
            return None, 1
        axis = max(long, key=lambda each: self.strides[each])
        row = element_span(
            *(x[:axis] + x[axis + 1 :] for x in (self.shape, self.strides))
        )
        if row >= _WORTH_SEEKING and 2 * row < self.strides[axis]:
            return axis, 1
        if self.span * self.dtype.itemsize <= _READ_AT_ONCE:
            return None, 1
        return axis, max(1, _READ_AT_ONCE // (self.strides[axis] * self.dtype.itemsize))

    def _read(self) -> np.ndarray:
        count = self.span * self.dtype.itemsize
        raw = np.fromfile(self.path, np.uint8, count, offset=self.start)
        if len(raw) != count:
            raise WeightsError(f"{self.path} is truncated: it ends inside a tensor")
        steps = [stride * self.dtype.itemsize for stride in self.strides]
        return np.lib.stride_tricks.as_strided(raw.view(self.dtype), self.shape, steps)


def block_of(
    value: Any, axis: int, start: int, stop: int | None = None, step: int = 1
) -> Any:
    """Return the entries of a slice along an axis of an array, or of one unread.

    Args:
        value: an array, or something with a ``block`` method.
        axis: along which.
        start: first entry.
        stop: one past the last entry; None for all.
        step: from entry to entry.
    """
    if hasattr(value, "block"):
        return value.block(axis, start, stop, step)
    return value[(slice(None),) * axis + (slice(start, stop, step),)]


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

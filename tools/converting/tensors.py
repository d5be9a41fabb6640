"""Tensors that stay in their file until they are asked for."""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np

from avits_jax.weights.name_map import WeightsError

BFLOAT16 = np.dtype(ml_dtypes.bfloat16)


def contiguous_strides(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Strides in elements of a row-major array."""
    return tuple(math.prod(shape[axis + 1 :]) for axis in range(len(shape)))


@dataclass(frozen=True)
class FileTensor:
    """Where a tensor's numbers are in a file.

    Attributes:
        path: the file.
        start: byte of the first element.
        dtype: in which the numbers are stored.
        shape: of the tensor.
        strides: distance of neighbours along each axis, in elements.
    """

    path: Path
    start: int
    dtype: np.dtype
    shape: tuple[int, ...]
    strides: tuple[int, ...]

    @property
    def span(self) -> int:
        """Elements from the first to the last one, both included."""
        return element_span(self.shape, self.strides)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        """Read the numbers; half-precision floats come as float32."""
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
    """Elements that a strided view reaches over, 0 for an empty one."""
    if 0 in shape:
        return 0
    steps = zip(shape, strides, strict=True)
    return 1 + sum((size - 1) * stride for size, stride in steps)

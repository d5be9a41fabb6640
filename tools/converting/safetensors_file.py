"""Read the header of a safetensors file: 8 bytes of length, JSON, then all numbers."""

import json
import math
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np

from avits_jax.weights.name_map import WeightsError
from tools.converting.tensors import BFLOAT16, FileTensor, contiguous_strides

_DTYPES = {
    "F64": np.dtype(np.float64),
    "F32": np.dtype(np.float32),
    "F16": np.dtype(np.float16),
    "BF16": BFLOAT16,
    "F8_E4M3": np.dtype(ml_dtypes.float8_e4m3fn),
    "F8_E5M2": np.dtype(ml_dtypes.float8_e5m2),
    "I64": np.dtype(np.int64),
    "I32": np.dtype(np.int32),
    "I16": np.dtype(np.int16),
    "I8": np.dtype(np.int8),
    "U8": np.dtype(np.uint8),
    "BOOL": np.dtype(np.bool_),
}
_MAX_HEADER = 100_000_000


def read_safetensors(path: Path) -> dict[str, FileTensor]:
    """Return every tensor of a file, unread.

    Raises:
        WeightsError: the file is truncated or no safetensors file.
    """
    size = path.stat().st_size
    with path.open("rb") as stream:
        length = int.from_bytes(stream.read(8), "little")
        if size < 8 or length > min(size - 8, _MAX_HEADER):
            raise WeightsError(f"{path} is truncated, or no safetensors file")
        try:
            header = json.loads(stream.read(length))
            header.pop("__metadata__", None)
            return {
                key: _tensor(path, 8 + length, size, entry)
                for key, entry in header.items()
            }
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            if isinstance(error, WeightsError):
                raise
            raise WeightsError(f"{path} is no safetensors file: bad header") from None


def _tensor(path: Path, base: int, size: int, entry: dict[str, Any]) -> FileTensor:
    name = entry["dtype"]
    if name not in _DTYPES:
        known = ", ".join(_DTYPES)
        raise WeightsError(f"{path} holds dtype {name}, which is none of {known}")
    dtype, shape = _DTYPES[name], tuple(map(int, entry["shape"]))
    start, end = map(int, entry["data_offsets"])
    if base + end > size:
        raise WeightsError(f"{path} is truncated: {size} bytes, {base + end} expected")
    if start < 0 or min(shape, default=0) < 0:
        raise ValueError("negative offset or size")
    if end - start != math.prod(shape) * dtype.itemsize:
        raise ValueError("offsets and shape differ")
    return FileTensor(path, base + start, dtype, shape, contiguous_strides(shape))

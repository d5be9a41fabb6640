"""Find the tensors of a safetensors file; the library reads and checks its header.

Their numbers are read as those of torch.save files are: the library maps a file into
memory, where a tensor takes twice its size, and gives numpy no 8-bit floats.
"""

import math
from pathlib import Path

import ml_dtypes
import numpy as np
from safetensors import SafetensorError, safe_open

from avits_jax.weights.file_tensors import (
    BFLOAT16,
    MOST_AXES,
    FileTensor,
    contiguous_strides,
)
from avits_jax.weights.name_map import WeightsError

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


def read_safetensors(path: Path) -> dict[str, FileTensor]:
    """Return every tensor of a file, unread.

    Raises:
        WeightsError: the file is truncated or no safetensors file, holds a dtype that
            is not known here, or a tensor of too many axes.
    """
    try:
        with safe_open(path, framework="numpy") as file:
            heads = {key: file.get_slice(key) for key in file.offset_keys()}
            found = {
                key: (head.get_dtype(), tuple(head.get_shape()))
                for key, head in heads.items()
            }
    except SafetensorError as error:
        raise WeightsError(
            f"{path} is truncated, or no safetensors file: {error}"
        ) from None
    unknown = sorted({name for name, _ in found.values()} - _DTYPES.keys())
    if unknown:
        known = ", ".join(_DTYPES)
        raise WeightsError(f"{path} holds dtype {unknown[0]}, which is none of {known}")
    many = [key for key, (_, shape) in found.items() if len(shape) > MOST_AXES]
    if many:
        raise WeightsError(f"{path}: {many[0]!r} has more than {MOST_AXES} axes")
    sizes = [math.prod(x) * _DTYPES[name].itemsize for name, x in found.values()]
    # In the order of their offsets they fill the rest of the file without a gap.
    start, tensors = path.stat().st_size - sum(sizes), {}
    for (key, (name, shape)), size in zip(found.items(), sizes, strict=True):
        strides = contiguous_strides(shape)
        tensors[key] = FileTensor(path, start, _DTYPES[name], shape, strides)
        start += size
    return tensors

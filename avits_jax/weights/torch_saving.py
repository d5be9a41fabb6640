"""Write a flat dict of tensors as torch.save does, without torch.

Upstream: pytorch 2.13, torch/serialization.py (_save) and torch/_utils.py
(_rebuild_tensor_v2): a zip archive of a pickle, and of the numbers of each tensor.
"""

import os
import struct
import zipfile
from collections.abc import Mapping

import numpy as np

from avits_jax.files.atomic import replacing
from avits_jax.weights.file_tensors import contiguous_strides

_FOLDER = "archive"
_VERSION = b"3\n"
# Pickle's operations, protocol 2.
_START, _DICT, _MARK, _SET_ITEMS, _STOP = b"\x80\x02", b"}", b"(", b"u", b"."
_TUPLE, _CALL, _NO_ARGUMENTS, _REFER, _FALSE = b"t", b"R", b")", b"Q", b"\x89"


def write_torch(
    path: str | os.PathLike[str], tensors: Mapping[str, np.ndarray]
) -> None:
    """Write float32 tensors so that ``torch.load(path)`` gives a dict of them.

    The file is the old one or the whole new one, never half of it; its storages are on
    the CPU.

    Args:
        path: the file.
        tensors: arrays by name; other floats are rounded to float32.

    Raises:
        OSError: the file cannot be written.
    """
    arrays = {
        name: np.ascontiguousarray(array, "<f4") for name, array in tensors.items()
    }
    with replacing(path) as temporary, zipfile.ZipFile(temporary, "w") as archive:
        archive.writestr(f"{_FOLDER}/data.pkl", _pickle(arrays))
        archive.writestr(f"{_FOLDER}/byteorder", b"little")
        for place, array in enumerate(arrays.values()):
            archive.writestr(f"{_FOLDER}/data/{place}", array.tobytes())
        archive.writestr(f"{_FOLDER}/version", _VERSION)


def _pickle(arrays: Mapping[str, np.ndarray]) -> bytes:
    items = [
        _text(name) + _tensor(str(place), array)
        for place, (name, array) in enumerate(arrays.items())
    ]
    return b"".join((_START, _DICT, _MARK, *items, _SET_ITEMS, _STOP))


def _tensor(key: str, array: np.ndarray) -> bytes:
    """Return a call that makes a tensor of its storage, offset, shape and strides."""
    storage = _tuple(
        _text("storage"),
        _name("torch", "FloatStorage"),
        _text(key),
        _text("cpu"),
        _whole(array.size),
    )
    strides = contiguous_strides(array.shape)
    hooks = _name("collections", "OrderedDict") + _NO_ARGUMENTS + _CALL
    arguments = _tuple(
        storage + _REFER,
        _whole(0),
        _tuple(*map(_whole, array.shape)),
        _tuple(*map(_whole, strides)),
        _FALSE,
        hooks,
    )
    return _name("torch._utils", "_rebuild_tensor_v2") + arguments + _CALL


def _tuple(*parts: bytes) -> bytes:
    return b"".join((_MARK, *parts, _TUPLE))


def _name(module: str, name: str) -> bytes:
    return f"c{module}\n{name}\n".encode("ascii")


def _text(text: str) -> bytes:
    encoded = text.encode("utf-8")
    return b"X" + struct.pack("<I", len(encoded)) + encoded


def _whole(number: int) -> bytes:
    """Return a number as pickle keeps it: in four bytes, or in as many as it needs."""
    if number < 2**31:
        return b"J" + struct.pack("<i", number)
    size = number.bit_length() // 8 + 1
    return b"\x8a" + bytes([size]) + number.to_bytes(size, "little", signed=True)

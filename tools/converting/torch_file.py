"""Read the tensors of a torch.save file without torch, and nothing but tensors.

Such a file is a pickle of dicts beside raw numbers: a zip archive since torch 1.6, one
stream before. A pickle can name any function to call; here only the handful that
rebuild tensors are known, and any other name ends the reading.
"""

import pickle
import zipfile
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np

from avits_jax.weights.name_map import WeightsError
from tools.converting.tensors import BFLOAT16, FileTensor, element_span

_LEGACY_MAGIC = 0x1950A86A20F9469CFC6C
_WRAPPERS = ("state_dict", "model", "module")
_STORAGES = {
    "DoubleStorage": np.dtype(np.float64),
    "FloatStorage": np.dtype(np.float32),
    "HalfStorage": np.dtype(np.float16),
    "BFloat16Storage": BFLOAT16,
    "LongStorage": np.dtype(np.int64),
    "IntStorage": np.dtype(np.int32),
    "ShortStorage": np.dtype(np.int16),
    "CharStorage": np.dtype(np.int8),
    "ByteStorage": np.dtype(np.uint8),
    "BoolStorage": np.dtype(np.bool_),
}


class _StorageKind(NamedTuple):
    """What stands for a storage class of torch; it cannot be called."""

    dtype: np.dtype


class _Storage(NamedTuple):
    """A run of numbers, by its key in the file."""

    key: str
    dtype: np.dtype
    size: int


@dataclass(frozen=True)
class _View:
    """A tensor as its pickle describes it."""

    storage: _Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


def _rebuild_tensor(storage, offset, shape, strides, *_unused) -> _View:
    if not isinstance(storage, _Storage):
        raise pickle.UnpicklingError("a tensor without a storage")
    view = _View(storage, int(offset), tuple(map(int, shape)), tuple(map(int, strides)))
    if min((view.offset, *view.shape, *view.strides)) < 0:
        raise pickle.UnpicklingError("a tensor of negative size")
    if view.offset + element_span(view.shape, view.strides) > storage.size:
        raise pickle.UnpicklingError("a tensor that reaches beyond its storage")
    return view


def _rebuild_parameter(value, *_unused) -> _View:
    return value


def _sizes(values) -> tuple[int, ...]:
    return tuple(values)


_KNOWN = {
    ("collections", "OrderedDict"): OrderedDict,
    ("torch._utils", "_rebuild_tensor_v2"): _rebuild_tensor,
    ("torch._utils", "_rebuild_parameter"): _rebuild_parameter,
    ("torch", "Size"): _sizes,
    **{("torch", name): _StorageKind(dtype) for name, dtype in _STORAGES.items()},
}


class _Unpickler(pickle.Unpickler):
    """Knows dicts, lists, numbers, text and tensors."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in _KNOWN:
            raise pickle.UnpicklingError(f"it names {module}.{name}, no tensor")
        return _KNOWN[module, name]

    def persistent_load(self, pid: Any) -> _Storage:
        tag, kind, key, _, count, *rest = pid
        if tag != "storage" or not isinstance(kind, _StorageKind):
            raise pickle.UnpicklingError("it refers to something that is no storage")
        if rest and rest[0] is not None:
            raise pickle.UnpicklingError("views of storages are not supported")
        return _Storage(str(key), kind.dtype, int(count))


def read_torch(path: Path) -> dict[str, FileTensor]:
    """Return every tensor of the state dict in a file, unread.

    A state dict may be wrapped once, under "state_dict", "model" or "module".

    Raises:
        WeightsError: the file is damaged, holds anything but tensors and plain values,
            or no state dict.
    """
    try:
        with path.open("rb") as stream:
            if zipfile.is_zipfile(stream):
                tree, starts = _read_zip(stream)
            else:
                stream.seek(0)
                tree, starts = _read_legacy(stream)
        views = _state_dict(tree)
        return {key: _located(path, view, starts) for key, view in views.items()}
    except WeightsError as error:
        raise WeightsError(f"{path}: {error}") from None
    # Whatever a damaged pickle provokes; it runs no code of its own.
    except Exception as error:
        raise WeightsError(f"{path} is no readable torch file: {error}") from None


def _read_zip(stream: BinaryIO) -> tuple[Any, dict[str, int]]:
    """The pickled tree, and the first byte of every storage."""
    with zipfile.ZipFile(stream) as archive:
        pickles = [n for n in archive.namelist() if n.endswith("/data.pkl")]
        if len(pickles) != 1:
            raise WeightsError("a zip archive without a data.pkl: not from torch.save")
        folder = pickles[0].removesuffix("data.pkl")
        if folder + "byteorder" in archive.namelist():
            if archive.read(folder + "byteorder") != b"little":
                raise WeightsError("its numbers are big-endian, which is not supported")
        with archive.open(pickles[0]) as inner:
            tree = _Unpickler(inner).load()
        starts = {}
        for entry in archive.infolist():
            if entry.filename.startswith(folder + "data/"):
                if entry.compress_type != zipfile.ZIP_STORED:
                    raise WeightsError(f"{entry.filename} is compressed")
                key = entry.filename.removeprefix(folder + "data/")
                starts[key] = _data_start(stream, entry.header_offset)
        return tree, starts


def _data_start(stream: BinaryIO, header: int) -> int:
    """First byte of an entry's data: its local header names two variable lengths."""
    stream.seek(header + 26)
    lengths = stream.read(4)
    name, extra = (int.from_bytes(lengths[i : i + 2], "little") for i in (0, 2))
    return header + 30 + name + extra


def _read_legacy(stream: BinaryIO) -> tuple[Any, dict[str, int]]:
    """The same for files from before torch 1.6."""
    if _Unpickler(stream).load() != _LEGACY_MAGIC:
        raise WeightsError("not from torch.save")
    for _ in ("protocol", "system"):
        _Unpickler(stream).load()
    tree = _Unpickler(stream).load()
    keys = _Unpickler(stream).load()
    counts = {view.storage.key: view.storage for view in _views(tree)}
    starts = {}
    for key in keys:
        count = stream.read(8)
        stored = int.from_bytes(count, "little")
        storage = counts.get(str(key))
        if len(count) < 8 or storage is None or storage.size != stored:
            raise WeightsError("its list of storages is damaged")
        starts[str(key)] = stream.tell()
        stream.seek(stored * storage.dtype.itemsize, 1)
    return tree, starts


def _views(tree: Any) -> list[_View]:
    """All tensors anywhere in a tree."""
    if isinstance(tree, _View):
        return [tree]
    if isinstance(tree, Mapping):
        tree = list(tree.values())
    if isinstance(tree, list | tuple) and not isinstance(tree, _Storage):
        return [view for value in tree for view in _views(value)]
    return []


def _state_dict(tree: Any) -> dict[str, _View]:
    """The tensors by name, from inside a wrapper if there is one."""
    if isinstance(tree, Mapping):
        for name in _WRAPPERS:
            if isinstance(tree.get(name), Mapping):
                tree = tree[name]
                break
        if tree and all(isinstance(value, _View) for value in tree.values()):
            return {str(key): value for key, value in tree.items()}
    raise WeightsError("it holds no state dict (a dict of tensors by name)")


def _located(path: Path, view: _View, starts: Mapping[str, int]) -> FileTensor:
    storage = view.storage
    if storage.key not in starts:
        raise WeightsError(f"storage {storage.key} is missing")
    start = starts[storage.key] + view.offset * storage.dtype.itemsize
    tensor = FileTensor(path, start, storage.dtype, view.shape, view.strides)
    if start + tensor.span * storage.dtype.itemsize > path.stat().st_size:
        raise WeightsError("the file is truncated")
    return tensor

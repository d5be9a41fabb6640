"""Find the tensors of a torch.save file without torch, and nothing but tensors.

Such a file is a pickle of dicts beside raw numbers: a zip archive since torch 1.6, one
stream before. Whatever torch.load(weights_only=True) refuses is refused here.
"""

import io
import re
import struct
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from avits_jax.weights.file_tensors import CheckedBytes, FileTensor
from avits_jax.weights.name_map import WeightsError
from avits_jax.weights.torch_pickle import Storage, View, read_pickle

_ZIP_MAGIC = b"PK\x03\x04"
_END = struct.Struct("<4s4H2LH")
_END64 = struct.Struct("<4sQ2H2L4Q")
_LOCATOR = struct.Struct("<4sLQL")
_LOCATOR_MAGIC = b"PK\x06\x07"
_HIDDEN = 0x2061  # flags of encryption and of patches
_FOLDER = 0x10
_IN_ZIP64 = 0xFFFF  # where the larger form of the end says it
_LEGACY_MAGIC = 0x1950A86A20F9469CFC6C
_LEGACY_PROTOCOL = 1001
_WRAPPERS = ("state_dict", "model", "module")
# A tensor takes about 200 bytes of a pickle; one byte can take 100 of memory.
_LARGEST_PICKLE = 2**22
_LARGEST_TABLE = 2**24
_LARGEST_RECORD = 2**16
# What torch itself reads of the small files beside the pickle.
_RECORDS = {
    "version": rb"([1-9]|10)\n?",
    "byteorder": rb"little",
    ".format_version": rb"[0-9]+\n?",
    ".storage_alignment": rb"[0-9]+\n?",
    ".data/serialization_id": rb"[ -~]*",
}


class _Place(NamedTuple):
    """Where a storage lies."""

    start: int
    checked: CheckedBytes | None = None


def read_torch(path: Path) -> dict[str, FileTensor]:
    """Return every tensor of the state dict in a file, unread.

    A state dict may be wrapped once, under "state_dict", "model" or "module". Storages
    of a zip archive are compared with their checksums when they are read.

    Args:
        path: a file of torch.save.

    Raises:
        WeightsError: the file is damaged, holds anything but tensors and plain values,
            or no state dict.
    """
    tree, places = _read(path, _LARGEST_PICKLE)
    try:
        views = _state_dict(tree)
    except WeightsError as error:
        raise WeightsError(f"{path}: {error}") from None
    return {key: _located(path, view, places) for key, view in views.items()}


def read_torch_table(path: Path) -> dict[str, dict[str, FileTensor]]:
    """Return the tensors of a dict of dicts in a file, unread.

    Tables of features are kept so, one dict per clip; a clip with one tensor alone has
    it under "".

    Args:
        path: a file of torch.save, larger than the pickles of `read_torch` may be.

    Raises:
        WeightsError: the file is damaged, holds anything but tensors, or no such dict.
    """
    tree, places = _read(path, _LARGEST_TABLE)
    table = {}
    for name, found in tree.items() if isinstance(tree, dict) else ():
        views = found if isinstance(found, dict) else {"": found}
        pairs = [(name, None), *views.items()]
        if not all(type(k) is str for k, _ in pairs) or not all(
            type(v) is View for v in views.values()
        ):
            raise WeightsError(f"{path}: it holds no table of tensors by name")
        table[name] = {k: _located(path, v, places) for k, v in views.items()}
    if not table:
        raise WeightsError(f"{path}: it holds no table of tensors by name")
    return table


def _read(path: Path, largest: int) -> tuple[Any, dict[str, _Place]]:
    """Return the pickled tree of a file, and the place of every storage."""
    try:
        with path.open("rb") as stream:
            zipped = stream.read(len(_ZIP_MAGIC)) == _ZIP_MAGIC
            stream.seek(0)
            return (_read_zip if zipped else _read_legacy)(stream, path, largest)
    except WeightsError as error:
        raise WeightsError(f"{path}: {error}") from None
    # zipfile raises many kinds for a damaged archive.
    except Exception as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise WeightsError(f"{path} is no readable torch file: {reason}") from None


def _read_zip(
    stream: BinaryIO, path: Path, largest: int
) -> tuple[Any, dict[str, _Place]]:
    """Return the pickled tree, and the place of every storage."""
    with zipfile.ZipFile(stream) as archive:
        starts = _starts(stream, archive)
        first = archive.infolist()[0].filename
        folder = first.partition("/")[0] + "/"
        entries = {x.filename: x for x in archive.infolist()}
        if f"{folder}data.pkl" not in entries:
            raise WeightsError("a zip archive without a data.pkl: not from torch.save")
        if f"{folder}constants.pkl" in entries:
            raise WeightsError(
                "a TorchScript archive, which holds code; what is read is a "
                "state_dict() saved with torch.save, or safetensors"
            )
        _check_records(archive, folder, entries)
        storages: dict[str, Storage] = {}
        pickled = _read_small(archive, entries[f"{folder}data.pkl"], largest)
        tree = read_pickle(io.BytesIO(pickled), storages)
    places = {}
    for key, storage in storages.items():
        entry = entries.get(f"{folder}data/{key}")
        if entry is None or entry.file_size != storage.nbytes:
            raise WeightsError(f"storage {key!r} is missing, or of another size")
        start = starts[entry.filename]
        checked = CheckedBytes(path, start, entry.file_size, entry.CRC)
        places[key] = _Place(start, checked)
    return tree, places


def _starts(stream: BinaryIO, archive: zipfile.ZipFile) -> dict[str, int]:
    """Return the first data byte of every entry; entries lie apart, whole and plain."""
    _check_end(stream)
    starts: dict[str, int] = {}
    end = 0
    names = [entry.filename.lower() for entry in archive.infolist()]
    if not names or len(set(names)) != len(names):
        raise WeightsError("a zip archive that is empty, or has two files of one name")
    for entry in sorted(archive.infolist(), key=lambda entry: entry.header_offset):
        if not _is_plain(entry):
            raise WeightsError(f"{entry.filename!r} is compressed, or no plain file")
        if entry.header_offset < end or (not starts and entry.header_offset):
            raise WeightsError(f"{entry.filename!r} overlaps what lies before it")
        with archive.open(entry):  # compares the entry's two headers
            start = _data_start(stream, entry.header_offset)
        end = start + entry.file_size
        starts[entry.filename] = start
    if end > archive.start_dir:
        raise WeightsError("its last file is truncated")
    return starts


def _is_plain(entry: zipfile.ZipInfo) -> bool:
    stored = entry.compress_type == zipfile.ZIP_STORED
    same = entry.compress_size == entry.file_size and not entry.volume
    odd = entry.flag_bits & _HIDDEN or entry.external_attr & _FOLDER
    return stored and same and not odd


def _check_end(stream: BinaryIO) -> None:
    """Refuse an archive in several files, or whose two ends say different things."""
    size = stream.seek(0, io.SEEK_END)
    stream.seek(size - _END.size)
    magic, disk, first, here, entries, _, _, comment = _END.unpack(stream.read())
    one = {disk, first} <= {0, _IN_ZIP64} and here == entries and not comment
    start = size - _END.size - _LOCATOR.size - _END64.size
    stream.seek(max(0, start))
    before = stream.read(_END64.size + _LOCATOR.size)
    if before[-_LOCATOR.size :].startswith(_LOCATOR_MAGIC):
        _, disk, at, disks = _LOCATOR.unpack(before[-_LOCATOR.size :])
        larger = _END64.unpack(before[: _END64.size])
        same = larger[6] == larger[7] and entries in (larger[7], _IN_ZIP64)
        one = one and same and not (disk or any(larger[4:6])) and disks <= 1
        one = one and at == start
    if magic != b"PK\x05\x06" or not one:
        raise WeightsError("the end of its zip archive is damaged")


def _data_start(stream: BinaryIO, header: int) -> int:
    """Return an entry's first data byte: its local header names two lengths."""
    stream.seek(header + 26)
    lengths = stream.read(4)
    name, extra = (int.from_bytes(lengths[i : i + 2], "little") for i in (0, 2))
    return header + 30 + name + extra


def _check_records(
    archive: zipfile.ZipFile, folder: str, entries: Mapping[str, zipfile.ZipInfo]
) -> None:
    """Refuse small files that are damaged, or say what is not supported here."""
    if f"{folder}version" not in entries:
        raise WeightsError("a zip archive without a version: not from torch.save")
    for name, pattern in _RECORDS.items():
        entry = entries.get(folder + name)
        if entry is None:
            continue
        content = _read_small(archive, entry, _LARGEST_RECORD)
        if not re.fullmatch(pattern, content):
            raise WeightsError(f"its {name} is {content[:20]!r}, which is not known")


def _read_small(
    archive: zipfile.ZipFile, entry: zipfile.ZipInfo, largest: int
) -> bytes:
    """Return an entry's content, compared with its checksum."""
    if entry.file_size > largest:
        raise WeightsError(
            f"{entry.filename!r} has {entry.file_size} bytes, at most {largest} are "
            "accepted"
        )
    return archive.read(entry)


def _read_legacy(
    stream: BinaryIO, path: Path, largest: int
) -> tuple[Any, dict[str, _Place]]:
    """Read a file from before torch 1.6 likewise; it states no checksums."""
    head = io.BytesIO(stream.read(largest))
    if read_pickle(head) != _LEGACY_MAGIC or read_pickle(head) != _LEGACY_PROTOCOL:
        raise WeightsError("not from torch.save")
    read_pickle(head)  # sizes of C's numbers, which torch does not look at
    storages: dict[str, Storage] = {}
    tree = read_pickle(head, storages, with_views=True)
    keys = read_pickle(head)
    listed = type(keys) is list and all(type(key) is str for key in keys)
    if not listed or len(set(keys)) != len(keys) or {*keys} != storages.keys():
        raise WeightsError("its list of storages is damaged")
    places, start = {}, head.tell()
    for key in keys:
        stream.seek(start)
        count = stream.read(8)
        if len(count) < 8 or int.from_bytes(count, "little") != storages[key].size:
            raise WeightsError("its list of storages is damaged")
        places[key] = _Place(start + 8)
        start += 8 + storages[key].nbytes
    if start > path.stat().st_size:
        raise WeightsError("the file is truncated")
    return tree, places


def _state_dict(tree: Any) -> dict[str, View]:
    """Return the tensors by name, from inside a wrapper if there is one."""
    if isinstance(tree, dict):
        for name in _WRAPPERS:
            if isinstance(tree.get(name), dict):
                tree = tree[name]
                break
        pairs = tree.items()
        if tree and all(type(k) is str and type(v) is View for k, v in pairs):
            return dict(tree)
    raise WeightsError("it holds no state dict (a dict of tensors by name)")


def _located(path: Path, view: View, places: Mapping[str, _Place]) -> FileTensor:
    place, dtype = places[view.storage.key], view.storage.dtype
    start = place.start + view.offset * dtype.itemsize
    return FileTensor(path, start, dtype, view.shape, view.strides, place.checked)

"""Manifests: JSON that states its own digest, and those of files (host only)."""

import hashlib
import json
import math
from collections.abc import Iterable, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

import jax.numpy as jnp
import numpy as np

from avits_jax.files.json_values import (
    OBJECT,
    TEXT,
    Kind,
    check_fields,
    list_of,
    optional,
    parse_json,
    whole,
)

FORMAT = 2
MANIFEST = "manifest.json"
OWN_KEYS = {"format", "digest", "leaves", "files", "total_bytes"}
_MOST_AXES, _MOST_NUMBERS = 64, 2**48  # of an array
_MOST_BYTES = 2**24  # of a manifest: room for 50,000 arrays, or files
# Numbers take at most so many times the bytes of their files: zeros pack into nothing,
# weights do not.
_DENSEST, _SMALL = 16, 2**26


def _is_inside(path: Any) -> bool:
    plain = isinstance(path, str) and path.isprintable() and "\\" not in path
    parts = PurePosixPath("/", path).parts[1:] if plain else ()
    return bool(parts) and ".." not in parts and "/".join(parts) == path


def _is_dtype(name: Any) -> bool:
    try:
        dtype = np.dtype(name if isinstance(name, str) else "")
    except (TypeError, ValueError):
        return False
    numeric = jnp.issubdtype(dtype, np.number) or dtype == np.bool_
    return numeric and name == dtype.name


def _is_key(key: Any) -> bool:
    return isinstance(key, str) or whole().accepts(key)


def _is_keys(keys: Any) -> bool:
    short = isinstance(keys, list) and len(keys) <= _MOST_AXES
    return short and all(
        _is_key(key[0] if isinstance(key, list) and len(key) == 1 else key)
        for key in keys
    )


def _is_shape(shape: Any) -> bool:
    if not list_of(whole()).accepts(shape) or len(shape) > _MOST_AXES:
        return False
    return math.prod(max(size, 1) for size in shape) <= _MOST_NUMBERS


INSIDE = Kind("a path inside the folder", _is_inside)
_ENTRIES = {
    "leaves": {
        "path": INSIDE,
        "keys": Kind(f"at most {_MOST_AXES} names and numbers", _is_keys),
        "shape": Kind(
            f"at most {_MOST_AXES} sizes of at most {_MOST_NUMBERS} numbers", _is_shape
        ),
        "dtype": Kind("the name of a dtype of numbers", _is_dtype),
    },
    "files": {"path": INSIDE, "size": whole(), "sha256": TEXT},
}
# Larger files of the store are chunks, which state checksums of their own.
_CHECKED_BY_STORE = 2**20


class CheckpointError(ValueError):
    """A checkpoint that cannot be used; one line that says which and why."""


def write_sealed(file: Path, content: Mapping[str, Any]) -> None:
    """Write JSON with its format and its digest.

    Args:
        file: to be written.
        content: JSON values.
    """
    # What a reader will see: tuples as lists, keys as text.
    values = json.loads(json.dumps({"format": FORMAT, **content}))
    values["digest"] = _seal(values)
    file.write_text(json.dumps(values, indent=1) + "\n", encoding="utf-8")


def read_sealed(file: Path, keys: Iterable[str]) -> dict[str, Any]:
    """Read JSON that `write_sealed` wrote, unchanged since.

    Args:
        file: to be read.
        keys: that it must have.

    Raises:
        CheckpointError: it is missing, damaged, changed, or of another format.
    """
    data = _read_bounded(file)
    try:
        content = parse_json(data)
    except ValueError as error:
        raise CheckpointError(f"{file} is damaged: not JSON ({error})") from None
    found = content.get("format") if isinstance(content, dict) else None
    if found != FORMAT:
        raise CheckpointError(
            f"{file.parent} has checkpoint format {found!r:.40}, not {FORMAT}: convert "
            "the published weights again"
        )
    missing = sorted({*keys, "digest", "model"} - content.keys())
    if missing:
        raise CheckpointError(f"{file} is damaged: no {missing[0]!r}")
    if content["digest"] != _seal(content):
        raise CheckpointError(f"{file} is damaged or was edited: its digest differs")
    known = {"config": None, **content}
    check_content(file, known, {"model": TEXT, "config": optional(OBJECT)})
    return content


def _read_bounded(file: Path) -> bytes:
    try:
        with file.open("rb") as stream:
            data = stream.read(_MOST_BYTES + 1)
    except OSError:
        raise CheckpointError(
            f"{file.parent} is no whole checkpoint: no {file.name}"
        ) from None
    if len(data) > _MOST_BYTES:
        raise CheckpointError(
            f"{file} is no manifest: it has more than {_MOST_BYTES // 2**20} MiB"
        )
    return data


def check_content(
    file: Path, part: Any, fields: Mapping[str, Kind], where: str = ""
) -> None:
    """Refuse JSON whose digest fits, but whose values are of wrong kinds.

    Args:
        file: that holds it, for the message.
        part: the JSON object.
        fields: what they must be, by name.
        where: names the part, for the message.

    Raises:
        CheckpointError: a field is missing or of another kind.
    """
    try:
        check_fields(part, fields, where)
    except ValueError as error:
        raise CheckpointError(f"{file} is damaged: it {error}") from None


def read_manifest(folder: str | Path) -> dict[str, Any]:
    """Return the manifest of a checkpoint without reading its arrays.

    Args:
        folder: a folder written by `avits_jax.weights.checkpoint.save`.

    Returns:
        The manifest: "model", "config" and the other metadata; "leaves", "files",
        "total_bytes", "format", "digest".

    Raises:
        CheckpointError: the folder is missing, is no checkpoint of this format, or its
            manifest is damaged.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise CheckpointError(f"checkpoint folder {folder} does not exist")
    file = folder / MANIFEST
    manifest = read_sealed(file, OWN_KEYS)
    check_content(file, manifest, {name: list_of(OBJECT) for name in _ENTRIES})
    for name, fields in _ENTRIES.items():
        for entry in manifest[name]:
            missing = sorted(fields.keys() - entry.keys())
            if missing:
                raise CheckpointError(
                    f"{file} is damaged: no {missing[0]!r} in {name!r}"
                )
            check_content(file, entry, fields, f"{name}: ")
    _check_bytes(file, manifest)
    return manifest


def num_bytes(leaf: Mapping[str, Any]) -> int:
    """Return the bytes of an array in memory, as a manifest describes it."""
    return math.prod(leaf["shape"]) * np.dtype(leaf["dtype"]).itemsize


def _check_bytes(file: Path, manifest: Mapping[str, Any]) -> None:
    """Refuse arrays that take far more memory than their files."""
    total = sum(map(num_bytes, manifest["leaves"]))
    if manifest["total_bytes"] != total:
        raise CheckpointError(
            f"{file} is damaged: its arrays take {total} bytes, it says "
            f"{manifest['total_bytes']!r:.40}"
        )
    stored = sum(entry["size"] for entry in manifest["files"])
    if total > _DENSEST * stored + _SMALL:
        raise CheckpointError(
            f"{file} states arrays of {total / 1e9:.3g} GB in files of "
            f"{stored / 1e9:.3g} GB: at most {_DENSEST} times the files and "
            f"{_SMALL // 2**20} MiB are read"
        )


def describe_files(folder: Path) -> list[dict[str, Any]]:
    """Return path, size and sha256 of every file of a folder."""
    return [
        {
            "path": file.relative_to(folder).as_posix(),
            "size": file.stat().st_size,
            "sha256": sha256(file),
        }
        for file in sorted(folder.rglob("*"))
        if file.is_file()
    ]


def check_files(
    folder: Path, files: list[dict[str, Any]], *, arrays: str, whole: bool
) -> None:
    """Compare files with what a manifest says of them.

    Args:
        folder: of the checkpoint.
        files: of its manifest.
        arrays: folder of the array store; its large files hold chunks with checksums
            of their own, and of them only sizes are compared.
        whole: compare the digests of these as well.

    Raises:
        CheckpointError: a file is missing or damaged.
    """
    for entry in files:
        file, size = folder / entry["path"], entry["size"]
        if not file.is_file():
            raise CheckpointError(f"checkpoint {folder} is incomplete: no {file.name}")
        found = file.stat().st_size
        if found != size:
            raise CheckpointError(
                f"checkpoint file {file} is damaged: {found} bytes, {size} expected"
            )
        chunks = entry["path"].startswith(f"{arrays}/") and size > _CHECKED_BY_STORE
        if (whole or not chunks) and sha256(file) != entry["sha256"]:
            raise CheckpointError(f"checkpoint file {file} is damaged: sha256 differs")


def sha256(file: Path) -> str:
    """Return the digest of a whole file."""
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _seal(content: Mapping[str, Any]) -> str:
    """Return the digest of everything but itself, however it is laid out as text."""
    others = {key: value for key, value in content.items() if key != "digest"}
    text = json.dumps(others, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()

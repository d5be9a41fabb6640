"""Checkpoints of several networks, each readable on its own (host only).

The folder holds one checkpoint per network and ``parts.json``, which is written last
and states the digest of every network's manifest, and its own::

    parts.json      format, model, config, parts, digest
    transformer/    a checkpoint of `avits_jax.weights.checkpoint`
    t5/             another one
"""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from avits_jax.files.json_values import Kind
from avits_jax.weights import checkpoint
from avits_jax.weights.manifest import (
    INSIDE,
    MANIFEST,
    CheckpointError,
    check_content,
    read_sealed,
    sha256,
    write_sealed,
)

INDEX = "parts.json"


def _is_parts(parts: Any) -> bool:
    return isinstance(parts, dict) and all(
        INSIDE.accepts(name) and "/" not in name and isinstance(digest, str)
        for name, digest in parts.items()
    )


_PARTS = Kind("names of folders, each with a digest", _is_parts)


def write_index(
    folder: str | Path, names: Iterable[str], metadata: Mapping[str, Any]
) -> None:
    """Write that ``folder`` is complete, and which parts it consists of.

    Args:
        folder: holds a checkpoint under each of the names.
        names: of the parts.
        metadata: JSON values; "model" (str) is required.
    """
    folder = Path(folder)
    if not isinstance(metadata.get("model"), str):
        raise ValueError(f"metadata needs a 'model' name, got {dict(metadata)!r}")
    parts = {name: sha256(folder / name / MANIFEST) for name in names}
    write_sealed(folder / INDEX, {**metadata, "parts": parts})


def is_in_parts(folder: str | Path) -> bool:
    """Tell whether ``folder`` is a checkpoint of several networks."""
    return (Path(folder) / INDEX).is_file()


def read_index(
    folder: str | Path, *, expect_parts: Iterable[str] = ()
) -> dict[str, Any]:
    """Return the index of a checkpoint in parts, all of them known to be there.

    Arrays are checked when a part is loaded with `avits_jax.weights.checkpoint.load`.

    Args:
        folder: written by the conversion of a model of several networks.
        expect_parts: names that must be among its parts.

    Returns:
        The metadata ("model", "config" and others), and "parts": name -> digest.

    Raises:
        CheckpointError: the folder is none, is half a conversion, its index is damaged,
            or a part is missing or was exchanged; all such parts are named in one line.
    """
    folder = Path(folder)
    index = _read(folder)
    faults = [f"no {name}" for name in expect_parts if name not in index["parts"]]
    for name, digest in index["parts"].items():
        if not (folder / name / MANIFEST).is_file():
            faults.append(f"{name} is missing")
        elif sha256(folder / name / MANIFEST) != digest:
            faults.append(f"{name} is of another conversion")
    if faults:
        raise CheckpointError(f"checkpoint {folder} is incomplete: {'; '.join(faults)}")
    return index


def part_names(folder: Path) -> list[str]:
    """Return the names of the parts that the index states, there or not.

    Raises:
        CheckpointError: the index is missing or damaged.
    """
    return list(_read(folder)["parts"])


def _read(folder: Path) -> dict[str, Any]:
    index = read_sealed(folder / INDEX, ["parts"])
    check_content(folder / INDEX, index, {"parts": _PARTS})
    return index


def verify_files(folder: str | Path) -> None:
    """Compare the sha256 of every file, of a checkpoint in parts or of one network.

    Args:
        folder: written by a conversion.

    Raises:
        CheckpointError: a file is missing or damaged; one line that names it.
    """
    folder = Path(folder)
    names = read_index(folder)["parts"] if is_in_parts(folder) else [""]
    for name in names:
        checkpoint.verify_files(folder / name)

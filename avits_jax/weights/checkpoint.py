"""Save and load trees of arrays with orbax, checked before use (host only).

A checkpoint is a folder::

    manifest.json   format, model, config, every leaf, every file with size and sha256,
                    and the digest of all this
    arrays/         orbax (OCDBT), one entry per leaf, keyed by the leaf's path; every
                    chunk with a checksum

Leaves are stored under their paths, so any tree can be read back through ``like``
(NamedTuples, optimiser states); without ``like`` nested dicts and lists are returned.
"""

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

from avits_jax.files.folders import replacing_folder
from avits_jax.files.stores import check_local
from avits_jax.types import PyTree
from avits_jax.weights.lazy import LazyArray
from avits_jax.weights.manifest import (
    MANIFEST,
    OWN_KEYS,
    CheckpointError,
    check_files,
    describe_files,
    read_manifest,
    write_sealed,
)
from avits_jax.weights.reading import read_arrays

_ARRAYS = "arrays"


class Checkpoint(NamedTuple):
    """What ``load`` returns.

    Attributes:
        tree: the arrays.
        metadata: what was given to ``save``: "model", "config" and any other entries.
    """

    tree: PyTree
    metadata: dict[str, Any]


def save(
    folder: str | Path,
    tree: PyTree,
    metadata: Mapping[str, Any],
    *,
    overwrite: bool = False,
    files: Mapping[str, Path] | None = None,
) -> Path:
    """Write ``tree`` and ``metadata`` to ``folder``, complete or not at all.

    Args:
        folder: where the checkpoint shall be.
        tree: arrays, numbers or `LazyArray`, in any pytree.
        metadata: JSON values; "model" (str) is required, "config" is customary.
        overwrite: replace a checkpoint that is there.
        files: path inside the checkpoint -> file to copy there (a tokenizer's, say).

    Returns:
        Path of the folder.

    Raises:
        CheckpointError: ``folder`` exists and may not be replaced, or the tree takes
            over 64 MiB and is nearly all zeros, as no weights are.
        TypeError: a leaf is no numeric array, or metadata is not JSON.
        ValueError: metadata has no model name, or uses a name of the manifest's own.

    Example:
        >>> save("out/mini", {"w": jnp.ones(3)}, {"model": "mini", "config": {}})
    """
    check_local(folder, "folder")
    folder = Path(folder)
    _check_metadata(metadata)
    leaves = _flatten(tree)
    if folder.exists() and not (overwrite and (folder / MANIFEST).is_file()):
        hint = "it is no checkpoint" if overwrite else "say overwrite=True to replace"
        raise CheckpointError(f"{folder} exists already; {hint}")
    with replacing_folder(folder) as new:
        for path, file in (files or {}).items():
            (new / path).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(file, new / path)
        _write_arrays(new / _ARRAYS, leaves)
        write_sealed(new / MANIFEST, _manifest(new, leaves, metadata))
        read_manifest(new)  # what could not be read again is not kept
    return folder


def load(
    folder: str | Path,
    *,
    like: PyTree | None = None,
    expect_model: str | None = None,
    sharding: PyTree | None = None,
    verify: bool = False,
) -> Checkpoint:
    """Read a checkpoint, checked against its manifest, onto devices.

    Args:
        folder: a folder written by ``save``; of one in a store, the copy that
            `avits_jax.weights.stored` makes.
        like: tree of arrays or ``jax.ShapeDtypeStruct`` that gives structure and
            shapes; values are cast to its dtypes. None: nested dicts and lists (a
            tuple comes back as a list), as stored.
        expect_model: refuse a checkpoint of any other model.
        sharding: one ``jax.sharding.Sharding`` for all leaves, or a tree of them
            like the result; local parts are read straight into it. None: default
            device.
        verify: compare the sha256 of all files, as `verify_files` does. Without it,
            the digests of the manifest and of small files, the sizes of all, and the
            checksums of arrays as they are read.

    Returns:
        Checkpoint(tree, metadata).

    Raises:
        CheckpointError: the folder is missing, damaged, of another model or of other
            shapes; one line that names what is wrong.
    """
    folder = Path(folder)
    manifest = read_manifest(folder)
    if expect_model is not None and manifest["model"] != expect_model:
        raise CheckpointError(
            f"{folder} is a checkpoint of {manifest['model']!r}, not {expect_model!r}"
        )
    check_files(folder, manifest["files"], arrays=_ARRAYS, whole=verify)
    stored = {leaf["path"]: leaf for leaf in manifest["leaves"]}
    if like is None:
        wanted = _stored_tree(folder, manifest["leaves"])
    else:
        wanted = like
    paths, structs, treedef = _abstract(wanted)
    _check_leaves(folder, stored, paths, structs)
    targets = {
        path: jax.ShapeDtypeStruct(struct.shape, struct.dtype, sharding=place)
        for path, struct, place in zip(
            paths, structs, _spread(sharding, wanted), strict=True
        )
    }
    arrays = read_arrays(folder / _ARRAYS, targets)
    metadata = {key: v for key, v in manifest.items() if key not in OWN_KEYS}
    tree = jax.tree.unflatten(treedef, [arrays[path] for path in paths])
    return Checkpoint(tree, metadata)


def verify_files(folder: str | Path) -> None:
    """Compare the sha256 of every file of a checkpoint; nothing is loaded.

    Args:
        folder: a folder written by ``save``.

    Raises:
        CheckpointError: a file is missing or damaged; one line that names it.
    """
    folder = Path(folder)
    files = read_manifest(folder)["files"]
    check_files(folder, files, arrays=_ARRAYS, whole=True)


def _check_metadata(metadata: Mapping[str, Any]) -> None:
    if not isinstance(metadata.get("model"), str):
        raise ValueError(f"metadata needs a 'model' name, got {dict(metadata)!r}")
    reserved = sorted(OWN_KEYS & metadata.keys())
    if reserved:
        raise ValueError(f"metadata may not use {reserved}: the manifest's own names")


def _key(entry: Any) -> str | int | list[int]:
    """Return a path entry as JSON; a position in a sequence is a list of one."""
    if isinstance(entry, jax.tree_util.SequenceKey):
        return [entry.idx]
    if isinstance(entry, jax.tree_util.GetAttrKey):
        return entry.name
    key = entry.key
    return key if isinstance(key, int) else str(key)


def _name(path: Any) -> str:
    return jax.tree_util.keystr(path, simple=True, separator="/") or "value"


def _flatten(tree: PyTree) -> list[tuple[str, list[Any], Any]]:
    """Return (path, keys, array) of every leaf."""
    leaves = []
    for path, leaf in jax.tree_util.tree_flatten_with_path(tree)[0]:
        made = isinstance(leaf, jax.Array | LazyArray)
        array = leaf if made else np.asarray(leaf)
        is_key = jax.dtypes.issubdtype(array.dtype, jax.dtypes.prng_key)
        if is_key or array.dtype.kind in "OUS":
            hint = " (store jax.random.key_data of it)" if is_key else ""
            raise TypeError(f"leaf {_name(path)} is no numeric array{hint}: {leaf!r}")
        leaves.append((_name(path), [_key(entry) for entry in path], array))
    names = [name for name, _, _ in leaves]
    if len(set(names)) != len(names):
        twice = sorted({name for name in names if names.count(name) > 1})
        raise TypeError(f"two leaves share the path {twice[0]!r}")
    return leaves


def _manifest(
    folder: Path, leaves: list[tuple[str, list[Any], Any]], metadata: Mapping[str, Any]
) -> dict[str, Any]:
    described = [
        {"path": path, "keys": keys, "shape": list(x.shape), "dtype": str(x.dtype)}
        for path, keys, x in leaves
    ]
    return {
        **metadata,
        "total_bytes": int(sum(leaf.nbytes for _, _, leaf in leaves)),
        "leaves": described,
        "files": describe_files(folder),
    }


def _write_arrays(folder: Path, leaves: list[tuple[str, list[Any], Any]]) -> None:
    # The manifest alone describes arrays without elements.
    arrays = {
        path: x if isinstance(x, LazyArray) else np.asarray(x)
        for path, _, x in leaves
        if x.size
    }
    if arrays:
        # Orbax takes long to import, and only writing needs it.
        from avits_jax.weights.writing import write_arrays

        write_arrays(folder, arrays)


def _abstract(tree: PyTree) -> tuple[list[str], list[jax.ShapeDtypeStruct], Any]:
    flat, treedef = jax.tree_util.tree_flatten_with_path(tree)
    structs = [
        jax.ShapeDtypeStruct(np.shape(x), jax.dtypes.result_type(x)) for _, x in flat
    ]
    return [_name(path) for path, _ in flat], structs, treedef


def _stored_tree(folder: Path, leaves: list[dict[str, Any]]) -> PyTree:
    """Build nested dicts and lists of ShapeDtypeStructs from a manifest's leaves."""
    structs = [
        jax.ShapeDtypeStruct(leaf["shape"], np.dtype(leaf["dtype"])) for leaf in leaves
    ]
    keys = [leaf["keys"] for leaf in leaves]
    try:
        tree = _nest(list(zip(keys, structs, strict=True)))
        jax.tree.structure(tree)
    except (TypeError, ValueError, LookupError):
        raise CheckpointError(
            f"{folder / MANIFEST} is damaged: its leaves make no tree"
        ) from None
    return tree


def _nest(entries: list[tuple[list[Any], Any]]) -> PyTree:
    if len(entries) == 1 and not entries[0][0]:
        return entries[0][1]
    groups: dict[Any, list[tuple[list[Any], Any]]] = {}
    sequence = bool(entries) and isinstance(entries[0][0][0], list)
    for (first, *rest), value in entries:
        groups.setdefault(first[0] if sequence else first, []).append((rest, value))
    nested = {key: _nest(group) for key, group in groups.items()}
    return [nested[i] for i in sorted(nested)] if sequence else nested


def _check_leaves(
    folder: Path,
    stored: dict[str, Any],
    paths: list[str],
    structs: list[jax.ShapeDtypeStruct],
) -> None:
    wanted = dict(zip(paths, structs, strict=True))
    faults = [f"{path} is missing" for path in paths if path not in stored]
    faults += [f"{path} is unknown" for path in stored if path not in wanted]
    faults += [
        f"{path} is {tuple(stored[path]['shape'])}, {struct.shape} expected"
        for path, struct in wanted.items()
        if path in stored and tuple(stored[path]["shape"]) != struct.shape
    ]
    if faults:
        shown = "; ".join(faults[:8])
        more = f"; and {len(faults) - 8} more" if len(faults) > 8 else ""
        raise CheckpointError(f"checkpoint {folder} does not fit: {shown}{more}")


def _spread(
    sharding: PyTree | None, tree: PyTree
) -> list[jax.sharding.Sharding | None]:
    """Return one sharding, or None, per leaf of ``tree``."""
    count = len(jax.tree.leaves(tree))
    if sharding is None or isinstance(sharding, jax.sharding.Sharding):
        return [sharding] * count
    shardings = jax.tree.leaves(sharding)
    if len(shardings) != count:
        raise ValueError(f"sharding has {len(shardings)} leaves, the tree {count}")
    return shardings

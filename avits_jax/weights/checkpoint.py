"""Save and load trees of arrays with orbax, checked before use (host only).

A checkpoint is a folder::

    manifest.json   format, model, config, every leaf, every file with size and sha256
    arrays/         orbax (OCDBT), one entry per leaf, keyed by the leaf's path

Leaves are stored under their paths, so any tree can be read back through ``like``
(NamedTuples, optimiser states); without ``like`` nested dicts and lists are returned.
"""

import hashlib
import json
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from avits_jax.files.folders import replacing_folder
from avits_jax.types import PyTree

FORMAT = 1
_MANIFEST = "manifest.json"
_ARRAYS = "arrays"
# Numbers that are read at the same time, at least one array.
_READ_AT_ONCE = 2**26
_OWN_KEYS = {"format", "leaves", "files", "total_bytes"}


class CheckpointError(ValueError):
    """A checkpoint that cannot be used; one line that says which and why."""


class Checkpoint(NamedTuple):
    """What ``load`` returns.

    Attributes:
        tree: the arrays.
        metadata: what was given to ``save``: "model", "config" and any other entries.
    """

    tree: PyTree
    metadata: dict[str, Any]


@dataclass(frozen=True, eq=False)
class LazyArray:
    """A leaf for ``save`` that is made and written slice by slice.

    Attributes:
        shape: of the whole leaf.
        dtype: in which it is stored; slices are cast to it.
        stacked: number of leading axes that slices are indexed by.
        slices: makes all slices, each with its index along those axes.
    """

    shape: tuple[int, ...]
    dtype: np.dtype
    stacked: int
    slices: Callable[[], Iterable[tuple[tuple[int, ...], np.ndarray]]]

    @property
    def size(self) -> int:
        """Return the number of elements."""
        return int(np.prod(self.shape))

    @property
    def nbytes(self) -> int:
        """Return the bytes of the whole leaf."""
        return self.size * self.dtype.itemsize


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
        CheckpointError: ``folder`` exists and may not be replaced.
        TypeError: a leaf is no numeric array, or metadata is not JSON.
        ValueError: metadata has no model name, or uses a name of the manifest's own.

    Example:
        >>> save("out/mini", {"w": jnp.ones(3)}, {"model": "mini", "config": {}})
    """
    folder = Path(folder)
    _check_metadata(metadata)
    leaves = _flatten(tree)
    if folder.exists() and not (overwrite and (folder / _MANIFEST).is_file()):
        hint = "it is no checkpoint" if overwrite else "say overwrite=True to replace"
        raise CheckpointError(f"{folder} exists already; {hint}")
    with replacing_folder(folder) as new:
        for path, file in (files or {}).items():
            (new / path).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(file, new / path)
        _write_arrays(new / _ARRAYS, {path: leaf for path, _, leaf in leaves})
        text = json.dumps(_manifest(new, leaves, metadata), indent=1) + "\n"
        (new / _MANIFEST).write_text(text, encoding="utf-8")
    return folder


def load(
    folder: str | Path,
    *,
    like: PyTree | None = None,
    expect_model: str | None = None,
    sharding: PyTree | None = None,
    verify: bool = True,
) -> Checkpoint:
    """Read a checkpoint, checked against its manifest, onto devices.

    Args:
        folder: a folder written by ``save``.
        like: tree of arrays or ``jax.ShapeDtypeStruct`` that gives structure and
            shapes; values are cast to its dtypes. None: nested dicts and lists (a
            tuple comes back as a list), as stored.
        expect_model: refuse a checkpoint of any other model.
        sharding: one ``jax.sharding.Sharding`` for all leaves, or a tree of them
            like the result; arrays are read straight into it. None: first device.
        verify: compare every file's sha256, not only its size.

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
    _check_files(folder, manifest["files"], verify)
    stored = {leaf["path"]: leaf for leaf in manifest["leaves"]}
    if like is None:
        wanted, treedef = _nested(stored.values()), None
    else:
        wanted = like
    paths, structs, treedef = _abstract(wanted)
    _check_leaves(folder, stored, paths, structs)
    shardings = _spread(sharding, wanted)
    arrays = _read_arrays(folder, paths, structs, shardings, tied=sharding is not None)
    metadata = {key: v for key, v in manifest.items() if key not in _OWN_KEYS}
    return Checkpoint(jax.tree.unflatten(treedef, arrays), metadata)


def read_manifest(folder: str | Path) -> dict[str, Any]:
    """Return the manifest of a checkpoint without reading its arrays.

    Args:
        folder: a folder written by ``save``.

    Returns:
        The manifest: "model", "config" and the other metadata; "leaves", "files",
        "total_bytes", "format".

    Raises:
        CheckpointError: the folder is missing, or is no checkpoint of this format.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise CheckpointError(f"checkpoint folder {folder} does not exist")
    try:
        manifest = json.loads((folder / _MANIFEST).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise CheckpointError(f"{folder} is no checkpoint: no {_MANIFEST}") from None
    except ValueError:
        raise CheckpointError(f"{folder / _MANIFEST} is damaged: not JSON") from None
    found = manifest.get("format") if isinstance(manifest, dict) else None
    if found != FORMAT:
        raise CheckpointError(f"{folder} has checkpoint format {found}, not {FORMAT}")
    missing = sorted((_OWN_KEYS | {"model"}) - manifest.keys())
    if missing:
        raise CheckpointError(f"{folder / _MANIFEST} is damaged: no {missing[0]!r}")
    return manifest


def _check_metadata(metadata: Mapping[str, Any]) -> None:
    if not isinstance(metadata.get("model"), str):
        raise ValueError(f"metadata needs a 'model' name, got {dict(metadata)!r}")
    reserved = sorted(_OWN_KEYS & metadata.keys())
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
    files = [
        {
            "path": file.relative_to(folder).as_posix(),
            "size": file.stat().st_size,
            "sha256": _digest(file),
        }
        for file in sorted(folder.rglob("*"))
        if file.is_file()
    ]
    return {
        "format": FORMAT,
        **metadata,
        "total_bytes": int(sum(leaf.nbytes for _, _, leaf in leaves)),
        "leaves": described,
        "files": files,
    }


def _digest(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _check_files(folder: Path, files: list[dict[str, Any]], verify: bool) -> None:
    for entry in files:
        file = folder / entry["path"]
        if not file.is_file():
            raise CheckpointError(f"checkpoint {folder} is incomplete: no {file.name}")
        size = file.stat().st_size
        if size != entry["size"]:
            raise CheckpointError(
                f"checkpoint file {file} is damaged: {size} bytes, "
                f"{entry['size']} expected"
            )
        if verify and _digest(file) != entry["sha256"]:
            raise CheckpointError(f"checkpoint file {file} is damaged: sha256 differs")


def _abstract(tree: PyTree) -> tuple[list[str], list[jax.ShapeDtypeStruct], Any]:
    flat, treedef = jax.tree_util.tree_flatten_with_path(tree)
    structs = [
        jax.ShapeDtypeStruct(np.shape(x), jax.dtypes.result_type(x)) for _, x in flat
    ]
    return [_name(path) for path, _ in flat], structs, treedef


def _nested(leaves: Any) -> PyTree:
    """Build nested dicts and lists of ShapeDtypeStructs from a manifest's leaves."""
    return _nest(
        [
            (leaf["keys"], jax.ShapeDtypeStruct(leaf["shape"], np.dtype(leaf["dtype"])))
            for leaf in leaves
        ]
    )


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


def _spread(sharding: PyTree | None, tree: PyTree) -> list[jax.sharding.Sharding]:
    """Return one sharding per leaf of ``tree``."""
    if sharding is None:
        sharding = jax.sharding.SingleDeviceSharding(jax.local_devices()[0])
    count = len(jax.tree.leaves(tree))
    if isinstance(sharding, jax.sharding.Sharding):
        return [sharding] * count
    shardings = jax.tree.leaves(sharding)
    if len(shardings) != count:
        raise ValueError(f"sharding has {len(shardings)} leaves, the tree {count}")
    return shardings


def _write_arrays(folder: Path, arrays: dict[str, Any]) -> None:
    # Orbax takes long to import, and only files need it.
    import orbax.checkpoint as ocp

    # It refuses arrays without elements; the manifest alone describes those.
    arrays = {path: array for path, array in arrays.items() if array.size}
    if not arrays:
        return
    if any(isinstance(array, LazyArray) for array in arrays.values()):
        from avits_jax.weights import writing as streaming

        make = streaming.checkpointer
    else:
        make = ocp.StandardCheckpointer
    with make() as checkpointer:
        checkpointer.save(folder.resolve(), arrays)
    # Its mark names this machine's folders; the manifest says what is complete.
    (folder / "commit_success.txt").unlink(missing_ok=True)


def _read_arrays(
    folder: Path,
    paths: list[str],
    structs: list[jax.ShapeDtypeStruct],
    shardings: list[jax.sharding.Sharding],
    *,
    tied: bool,
) -> list[jax.Array]:
    """Read arrays in the order of ``paths``, on the devices of ``shardings`` if any."""
    import orbax.checkpoint as ocp

    target = {
        path: jax.ShapeDtypeStruct(struct.shape, struct.dtype, sharding=sharding)
        for path, struct, sharding in zip(paths, structs, shardings, strict=True)
    }
    arrays = {
        path: jax.device_put(np.zeros(struct.shape, struct.dtype), struct.sharding)
        for path, struct in target.items()
        if not struct.size
    }
    try:
        with ocp.PyTreeCheckpointer() as checkpointer:
            for group in _groups(target):
                restore = ocp.args.PyTreeRestore(
                    group,
                    ocp.checkpoint_utils.construct_restore_args(group),
                    partial_restore=True,
                )
                found = checkpointer.restore((folder / _ARRAYS).resolve(), restore)
                # Not tied to the device: else results would be, too, and a state that
                # goes from one call of a jitted search into the next would compile it
                # twice.
                arrays |= found if tied else jax.tree.map(_untied, found)
    except (OSError, ValueError, KeyError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise CheckpointError(f"checkpoint {folder} is unreadable: {reason}") from error
    return [arrays[path] for path in paths]


def _untied(array: jax.Array) -> jax.Array:
    return jnp.asarray(np.asarray(array))


def _groups(
    target: dict[str, jax.ShapeDtypeStruct],
) -> Iterator[dict[str, jax.ShapeDtypeStruct]]:
    """Group arrays to read at once: while they are read they take memory twice."""
    group: dict[str, jax.ShapeDtypeStruct] = {}
    for path, struct in target.items():
        if not struct.size:
            continue
        if sum(x.size for x in group.values()) + struct.size > _READ_AT_ONCE and group:
            yield group
            group = {}
        group[path] = struct
    if group:
        yield group

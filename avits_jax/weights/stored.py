"""Checkpoints in a store: copied to this machine once, then read like any other.

The copy lies in the user's cache folder, named by the digest of the checkpoint's
manifests. These state the digests of all files, so that a copy never grows old, and
another checkpoint at the same address is another copy. Files are checked against their
digests when they arrive; a copy that is there is whole.
"""

import contextlib
import hashlib
import os
import time
from collections.abc import Iterator
from pathlib import Path

from avits_jax.files.folders import replacing_folder
from avits_jax.files.locks import HeldError, lock
from avits_jax.files.resources import user_cache
from avits_jax.files.stores import Store, naming, open_store
from avits_jax.weights.manifest import MANIFEST, read_manifest
from avits_jax.weights.parts import INDEX, part_names, verify_files

_PAUSE = 0.5  # seconds between two looks whether another process is done


def local_checkpoint(place: str | os.PathLike[str]) -> Path | None:
    """Return the folder of a checkpoint, or of the copy of one in a store.

    Args:
        place: a folder, or an address; of one network or of several.

    Returns:
        The folder; None if no checkpoint is at that address.

    Raises:
        CheckpointError: it is damaged.
        StoreError: the store cannot be reached, or refuses.
        OSError: the disk is full.
    """
    store = open_store(place)
    if store is None:
        return Path(place)
    stated = _stated(store)
    if stated is None:
        return None
    name, content = stated
    digest = hashlib.sha256(content).hexdigest()[:32]
    copy = user_cache("checkpoints") / digest
    copy.parent.mkdir(parents=True, exist_ok=True)
    while not copy.is_dir():
        with contextlib.suppress(HeldError), _locked(copy.with_suffix(".lock")):
            if not copy.is_dir():
                _make_copy(store, name, content, copy)
        if not copy.is_dir():
            time.sleep(_PAUSE)
    return copy


def _stated(store: Store) -> tuple[str, bytes] | None:
    """Return name and content of the file that states what a checkpoint holds."""
    for name in (INDEX, MANIFEST):
        content = store.read(name)
        if content is not None:
            return name, content
    return None


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Let one process of this machine make the copy; the others wait for it."""
    held = lock(path, create=True)
    try:
        yield
    finally:
        if held is not None:
            os.close(held)


def _make_copy(store: Store, name: str, content: bytes, copy: Path) -> None:
    """Copy a checkpoint, complete and checked or not at all."""
    with replacing_folder(copy) as new, naming(new, store.address):
        (new / name).write_bytes(content)
        prefixes = [""]
        if name == INDEX:
            prefixes = [f"{part}/" for part in part_names(new)]
            manifests = [f"{prefix}{MANIFEST}" for prefix in prefixes]
            store.download((path, new / path) for path in manifests)
        for prefix in prefixes:
            files = read_manifest(new / prefix)["files"]
            paths = [f"{prefix}{file['path']}" for file in files]
            store.download((path, new / path) for path in paths)
        verify_files(new)

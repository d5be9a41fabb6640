"""Local copies of what lies in a store, and folders that become ones in a store."""

import atexit
import contextlib
import functools
import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from avits_jax.files.atomic import replacing
from avits_jax.files.folders import replacing_folder
from avits_jax.files.stores import Store, naming, open_store

_PREFIX = "avits-"


@functools.cache
def _copies() -> Path:
    """Return a folder that is deleted when this process ends."""
    folder = Path(tempfile.mkdtemp(prefix=_PREFIX))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


def local_file(place: str | os.PathLike[str]) -> Path:
    """Return a file, or a copy of one in a store, which this process keeps.

    The copy is made again when the object has changed.

    Raises:
        NoObjectError: there is no object at that address.
        StoreError: the store cannot be reached, or refuses.
    """
    store = open_store(place)
    if store is None:
        return Path(place)
    key = hashlib.sha256(f"{store.address} {store.version('')}".encode()).hexdigest()
    copy = _copies() / key[:16] / store.address.rpartition("/")[2]
    if not copy.is_file():
        copy.parent.mkdir(exist_ok=True)
        with replacing(copy) as new:
            store.download([("", new)])
    return copy


@contextlib.contextmanager
def whole_folder(place: str | os.PathLike[str], *, last: str) -> Iterator[Path]:
    """Yield an empty folder that becomes the one at ``place`` on success.

    A local one appears at once, see `replacing_folder`. In a store ``last`` is deleted
    first and uploaded last, so that a folder that has it is whole; what the new folder
    lacks is deleted.

    Args:
        place: the folder to write, here or in a store.
        last: the file that says that a folder is whole.

    Raises:
        OSError: it cannot be written.
    """
    store = open_store(place)
    if store is None:
        with replacing_folder(Path(place)) as folder:
            yield folder
        return
    with empty_copy(store) as folder:
        yield folder
        before = store.names()
        store.delete({last}.intersection(before))
        written = upload_folder(store, folder, last=last)
        store.delete(set(before) - set(written))


@contextlib.contextmanager
def added_files(place: str | os.PathLike[str]) -> Iterator[Path]:
    """Yield a folder to write files into: ``place``, or one to be uploaded there.

    Raises:
        OSError: it cannot be written.
    """
    store = open_store(place)
    if store is None:
        folder = Path(place)
        folder.mkdir(parents=True, exist_ok=True)
        yield folder
        return
    with empty_copy(store) as folder:
        yield folder
        upload_folder(store, folder)


def upload_folder(store: Store, folder: Path, *, last: str | None = None) -> list[str]:
    """Put all files of a folder into a store; return their names.

    Args:
        store: where to.
        folder: where they are.
        last: the file that is uploaded when all others are there.
    """
    files = [path for path in folder.rglob("*") if path.is_file()]
    named = {path.relative_to(folder).as_posix(): path for path in files}
    store.upload(item for item in named.items() if item[0] != last)
    store.upload(item for item in named.items() if item[0] == last)
    return list(named)


@contextlib.contextmanager
def empty_copy(store: Store) -> Iterator[Path]:
    """Yield a temporary folder that errors name as the one in the store."""
    with tempfile.TemporaryDirectory(prefix=_PREFIX) as made:
        with naming(Path(made), store.address):
            yield Path(made)

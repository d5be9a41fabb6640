"""Places in object stores, ``gs://bucket/...`` and ``s3://bucket/...`` (host only).

Through fsspec, with what it finds of credentials in the environment. Every object is
written whole or not at all; there is no lock, no rename and no append.
"""

import contextlib
import os
import re
import uuid
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from pathlib import Path, PurePosixPath
from typing import Any

# What fsspec needs for each kind of address; both are in the extra.
_PACKAGES = {"gs": "gcsfs", "s3": "s3fs"}
EXTRA = "pip install 'avits_jax[cloud]'"
_ADDRESS = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+):(/+)(.*)", re.DOTALL)
_AT_ONCE = 32  # objects that are read or written at the same time
_BATCH = 1024  # objects that are in memory at the same time


class StoreError(OSError):
    """A store cannot be reached, or refuses; one line that says which and why."""


class NoObjectError(StoreError):
    """There is no such object, folder or bucket."""


def address_of(place: str | os.PathLike[str]) -> str | None:
    """Return the address of a place in a store; None of one on this machine.

    A `pathlib.Path` made of an address has lost one of its slashes, and counts too.

    Raises:
        ValueError: it is an address of another kind, or names no bucket.
    """
    match = _ADDRESS.fullmatch(os.fspath(place))
    if match is None:
        return None
    scheme, slashes, rest = match[1].lower(), match[2], match[3].strip("/")
    if scheme not in _PACKAGES:
        if len(slashes) < 2:
            return None
        known = ", ".join(f"{name}://" for name in _PACKAGES)
        raise ValueError(
            f"{os.fspath(place)} is in no store that is known here: use {known} or a "
            "local path"
        )
    if not rest:
        raise ValueError(f"{os.fspath(place)} names no bucket")
    return f"{scheme}://{rest}"


def inside(place: str | os.PathLike[str], name: str) -> str:
    """Return a name in a folder, on this machine or in a store, as it is shown."""
    address = address_of(place)
    return str(Path(place) / name) if address is None else f"{address}/{name}"


def check_local(place: str | os.PathLike[str], name: str) -> None:
    """Refuse an address where files of this machine alone will do.

    Args:
        place: a path.
        name: of the argument, for the error.

    Raises:
        ValueError: it is an address.
    """
    address = address_of(place)
    if address is not None:
        raise ValueError(
            f"{name} must be on this machine, got {address}: write it here, then copy "
            "it there"
        )


@dataclass(frozen=True)
class Store:
    """A folder in a store: all objects whose names begin with its address.

    Attributes:
        address: ``gs://bucket/...``, without a slash at its end.
        files: the file system of fsspec.
    """

    address: str
    files: Any

    def exists(self, name: str) -> bool:
        """Tell whether there is an object of that name.

        Raises:
            StoreError: the store cannot be reached, or refuses.
        """
        try:
            with self._told():
                return self.files.info(self._path(name))["type"] == "file"
        except NoObjectError:
            return False

    def names(self) -> list[str]:
        """Return the names of all objects, those in folders as ``folder/name``."""
        return self._listed(self.files.find)

    def top_names(self) -> list[str]:
        """Return the names of the objects and folders right inside."""
        return self._listed(lambda path: self.files.ls(path, detail=False))

    def read(self, name: str) -> bytes | None:
        """Return an object's bytes; None where there is none.

        Raises:
            StoreError: the store cannot be reached, or refuses.
        """
        try:
            with self._told():
                return self.files.cat_file(self._path(name))
        except NoObjectError:
            return None

    def read_all(self, names: Iterable[str]) -> Iterator[bytes]:
        """Read many objects at a time; give their bytes in the order of the names.

        Raises:
            StoreError: one is missing, or the store cannot be reached.
        """
        left = iter(names)
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            while batch := list(islice(left, _BATCH)):
                for name, data in zip(batch, pool.map(self.read, batch), strict=True):
                    if data is None:
                        raise NoObjectError(f"{self.address}/{name} is missing")
                    yield data

    def write(self, name: str, data: bytes) -> None:
        """Write an object, in the place of one that is there.

        Raises:
            StoreError: the store cannot be reached, or refuses.
        """
        with self._told():
            self.files.pipe_file(self._path(name), data)

    def upload(self, files: Iterable[tuple[str, Path]]) -> None:
        """Write files as objects of these names; all are there when it returns.

        Raises:
            StoreError: the store cannot be reached, or refuses.
        """
        self._for_each(files, lambda path, file: self.files.put_file(str(file), path))

    def download(self, files: Iterable[tuple[str, Path]]) -> None:
        """Write objects of these names to files, and make their folders.

        Raises:
            StoreError: one is missing or is named outside the folder, or the store
                cannot be reached.
        """

        def get(path: str, file: Path) -> None:
            if ".." in PurePosixPath(path).parts or "\\" in path:
                raise ValueError(f"{path!r} is no name of a file")
            file.parent.mkdir(parents=True, exist_ok=True)
            self.files.get_file(path, str(file))

        self._for_each(files, get)

    def delete(self, names: Iterable[str]) -> None:
        """Delete objects.

        Raises:
            StoreError: the store cannot be reached, or refuses.
        """
        with self._told():
            for name in names:
                self.files.rm_file(self._path(name))

    def check_writable(self) -> None:
        """Write an object and delete it.

        Raises:
            StoreError: the store cannot be reached, or refuses.
        """
        name = f".avits-{uuid.uuid4().hex[:12]}"
        self.write(name, b"")
        self.delete([name])

    def version(self, name: str) -> str:
        """Return what changes whenever an object is written anew.

        Raises:
            NoObjectError: there is none.
            StoreError: the store cannot be reached, or refuses.
        """
        with self._told():
            return self.files.ukey(self._path(name))

    def _path(self, name: str) -> str:
        root = self.address.partition("://")[2]
        return f"{root}/{name}" if name else root

    def _listed(self, listing: Callable[[str], Iterable[str]]) -> list[str]:
        root = self._path("")
        try:
            with self._told():
                found = list(listing(root))
        except NoObjectError:
            return []
        # Of a marker of the folder itself nothing is left.
        names = (path.strip("/")[len(root) :].lstrip("/") for path in found)
        return sorted(name for name in names if name)

    def _for_each(
        self, files: Iterable[tuple[str, Path]], act: Callable[[str, Path], None]
    ) -> None:
        def one(item: tuple[str, Path]) -> None:
            with self._told():
                act(self._path(item[0]), item[1])

        with ThreadPoolExecutor(_AT_ONCE) as pool:
            list(pool.map(one, files))

    @contextlib.contextmanager
    def _told(self) -> Iterator[None]:
        """Say in one line what the store refuses."""
        try:
            yield
        except FileNotFoundError as error:
            raise NoObjectError(f"{self.address}: there is no {error}") from error
        except Exception as error:  # each store's library raises kinds of its own
            reason = " ".join(str(error).split()) or type(error).__name__
            raise StoreError(f"{self.address}: {reason}") from error


def open_store(place: str | os.PathLike[str]) -> Store | None:
    """Return the folder in a store that a place names; None of a local one.

    Raises:
        ValueError: the address is of no known kind, or the package for it is not
            installed (what to install is said).
        StoreError: there are no credentials.
    """
    address = address_of(place)
    if address is None:
        return None
    scheme = address.partition("://")[0]
    try:
        import fsspec

        kind = fsspec.get_filesystem_class(scheme)
    except ImportError as error:
        raise ValueError(
            f"{address} needs {_PACKAGES[scheme]}, which is not installed: {EXTRA}"
        ) from error
    try:
        # Others write to the same place; a listing kept from before would be wrong.
        return Store(address, kind(use_listings_cache=False))
    except Exception as error:  # each store's library raises kinds of its own
        raise StoreError(f"{address}: {' '.join(str(error).split())}") from error


@contextlib.contextmanager
def naming(copy: Path, address: str) -> Iterator[None]:
    """Let errors name the place in a store, not the local copy that is worked on.

    Args:
        copy: where the copy lies.
        address: what it is a copy of.
    """
    try:
        yield
    except Exception as error:
        name_store(error, copy, address)
        raise


def name_store(error: BaseException, copy: Path, address: str) -> None:
    """Put the address in the place of the local copy in an error's message."""
    error.args = tuple(
        each.replace(str(copy), address) if isinstance(each, str) else each
        for each in error.args
    )
    if isinstance(error, OSError) and isinstance(error.filename, str):
        error.filename = error.filename.replace(str(copy), address)

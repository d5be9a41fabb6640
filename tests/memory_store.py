"""A store in memory in the place of ``gs://`` and ``s3://``, which tests can watch."""

import importlib
import sys

from fsspec.implementations.memory import MemoryFileSystem

_REGISTRY = importlib.import_module("fsspec.registry")._registry


class Bucket(MemoryFileSystem):
    """A store that notes what is written to it, and may refuse.

    Attributes:
        written: paths in the order of their writing.
        before: is called with each path before it is written.
    """

    written: list[str] = []
    before = staticmethod(lambda path: None)

    def pipe_file(self, path, value, **kwargs):
        self._note(path)
        super().pipe_file(path, value, **kwargs)

    def put_file(self, lpath, rpath, **kwargs):
        self._note(rpath)
        super().put_file(lpath, rpath, **kwargs)

    def _note(self, path):
        type(self).before(path)
        self.written.append(path)

    @classmethod
    def contents(cls, place):
        """Return the bytes of all objects of a folder by name."""
        root = "/" + place.partition("://")[2] + "/"
        found = {k: v.getvalue() for k, v in cls.store.items() if k.startswith(root)}
        return {name.removeprefix(root): data for name, data in found.items()}

    @classmethod
    def put(cls, place, data):
        """Write an object."""
        cls().pipe_file(place.partition("://")[2], data)


def install(monkeypatch):
    """Make an empty store of gs:// and s3://, as if their packages were installed."""

    class Fresh(Bucket):
        store: dict = {}
        pseudo_dirs = [""]
        written: list = []

    for scheme in ("gs", "s3"):
        monkeypatch.setitem(_REGISTRY, scheme, Fresh)
    return Fresh


def uninstall(monkeypatch):
    """Make the packages of gs:// and s3:// missing."""
    for scheme, package in (("gs", "gcsfs"), ("s3", "s3fs")):
        monkeypatch.delitem(_REGISTRY, scheme, raising=False)
        monkeypatch.setitem(sys.modules, package, None)

"""Tell functions apart by all that a traced program of theirs can depend on.

A program that is kept must never be taken for another one: what is not understood has
no fingerprint.
"""

import dataclasses
import enum
import functools
import hashlib
import importlib.metadata
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import numpy as np

from avits_jax.types import Generator, Verifier

# Their sources are told by versions, or by `_sources`.
_KNOWN = ("avits_jax", "jax", "jaxlib", "flax", "optax", "numpy", "builtins")
_PLAIN = (
    *(type(None), bool, int, float, complex, str, bytes, enum.Enum),
    *(np.dtype, np.generic, slice, range, type(...)),
)


class NoFingerprintError(Exception):
    """Something is neither plain data nor code of a known package."""


def fingerprint(*values: Any) -> str:
    """Return a digest of values, of the code that they hold, and of this installation.

    Functions count by name, place, and what they have closed over; the host's part of a
    generator or verifier, ``encode``, is left out.

    Args:
        *values: functions, arrays, plain data and records of them.

    Raises:
        NoFingerprintError: some value is not understood.
    """
    teller = _Teller()
    for value in (_installation(), *values):
        teller.tell(value)
    return teller.digest.hexdigest()


def _installation() -> tuple[Any, ...]:
    """Return what a traced program depends on beside its function."""
    packages = ("jax", "jaxlib", "flax", "optax", "numpy")
    versions = tuple(importlib.metadata.version(name) for name in packages)
    devices = tuple(device.device_kind for device in jax.devices())
    settings = tuple(sorted((k, repr(v)) for k, v in jax.config.values.items()))
    return versions, jax.default_backend(), devices, settings, _sources()


@functools.cache
def _sources() -> tuple[tuple[str, int, int], ...]:
    """Return name, size and time of change of every source file of the package."""
    package = Path(__file__).resolve().parents[1]
    found = ((path, path.stat()) for path in sorted(package.rglob("*.py")))
    return tuple((str(path), s.st_size, s.st_mtime_ns) for path, s in found)


class _Teller:
    """Feeds values to a digest, each object once."""

    def __init__(self) -> None:
        self.digest = hashlib.sha256()
        self._seen: dict[int, int] = {}
        self._kept: list[Any] = []  # an id is no one else's as long as its object lives

    def tell(self, value: Any) -> None:
        if isinstance(value, _PLAIN):
            return self._say(type(value).__qualname__, repr(value))
        if id(value) in self._seen:
            return self._say("again", str(self._seen[id(value)]))
        self._seen[id(value)] = len(self._seen)
        self._kept.append(value)
        self._say(type(value).__module__, type(value).__qualname__)
        parts = self._parts(value)
        self._say("parts", str(len(parts)))
        for part in parts:
            self.tell(part)

    def _parts(self, value: Any) -> tuple[Any, ...]:
        if isinstance(value, (np.ndarray, jax.Array)):
            return self._array(value)
        if isinstance(value, (Generator, Verifier)):
            value = value._replace(encode=None)
        if isinstance(value, (tuple, list)):
            return tuple(value)
        if isinstance(value, (dict, types.MappingProxyType)):
            return tuple(part for item in value.items() for part in item)
        if isinstance(value, (set, frozenset)):
            return tuple(sorted(value, key=repr))
        if isinstance(value, functools.partial):
            return value.func, value.args, value.keywords
        if isinstance(value, jax.tree_util.PyTreeDef):
            return value.node_data(), *value.children()
        if isinstance(value, types.MethodType):
            return value.__func__, value.__self__
        if isinstance(value, types.FunctionType):
            return _name(value), *_code(value)
        if isinstance(value, type) or isinstance(value, types.BuiltinFunctionType):
            return (_name(value),)
        if hasattr(value, "__wrapped__"):  # of jax.jit, functools.cache and the like
            return _name(value), value.__wrapped__
        return _name(type(value)), *_fields(value)

    def _array(self, value: Any) -> tuple[Any, ...]:
        if isinstance(value, jax.core.Tracer):
            raise NoFingerprintError("an array that is traced")
        if jax.dtypes.issubdtype(value.dtype, jax.dtypes.prng_key):
            return str(value.dtype), jax.random.key_data(value)
        array = np.asarray(value)
        return str(array.dtype), array.shape, array.tobytes()

    def _say(self, *words: str) -> None:
        for word in words:
            self.digest.update(word.encode("utf-8", "surrogatepass") + b"\0")


def _name(thing: Any) -> str:
    """Return the name of code that versions or sources tell."""
    module = getattr(thing, "__module__", None) or "builtins"
    if module.partition(".")[0] not in _KNOWN:
        raise NoFingerprintError(f"{module} may change unseen")
    return f"{module}.{getattr(thing, '__qualname__', thing)}"


def _code(function: Callable[..., Any]) -> tuple[Any, ...]:
    code, cells = function.__code__, function.__closure__ or ()
    place = code.co_firstlineno, code.co_code  # of one among functions of like names
    held = tuple(cell.cell_contents for cell in cells)
    return *place, held, function.__defaults__, function.__kwdefaults__


def _fields(value: Any) -> tuple[Any, ...]:
    """Return names and values of a record's, or another object's, attributes."""
    if dataclasses.is_dataclass(value):
        names = [field.name for field in dataclasses.fields(value)]
    elif hasattr(value, "__dict__"):
        names = list(vars(value))
    else:
        raise NoFingerprintError(f"a {type(value).__qualname__}")
    return tuple(part for name in names for part in (name, getattr(value, name)))

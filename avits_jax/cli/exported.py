"""Traced programs kept between runs: what JAX would trace anew is read instead.

JAX's own cache keeps what XLA compiled; to look there, a program must be traced first.
These files lie beside it. A file holds the structure of the results, as JSON, and what
`jax.export` writes; nothing in it is executed but by XLA.
"""

import contextlib
import hashlib
import importlib
import json
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
from jax import export

from avits_jax.cli.fingerprint import NoFingerprintError, fingerprint
from avits_jax.files.atomic import write_bytes
from avits_jax.nn.apart import compile_apart
from avits_jax.nn.compiling import compile_lowered

_PACKAGES = ("avits_jax", "optax")  # whose records results are made of
# Versions are part of a program's name: no call has to mean the same in another one.
_ANY_CALL = (export.DisabledSafetyCheck.custom_call("ALL"),)


# What takes long to compile, and makes programs of little work hardly faster. Small
# networks' norms sum some 64 numbers, for which a tree of sums is no more exact.
_HASTE: dict[str, Any] = {
    "xla_backend_optimization_level": 1,
    "xla_cpu_use_fusion_emitters": False,
    "xla_llvm_disable_expensive_passes": True,
    "xla_cpu_parallel_codegen_split_count": 8,
    "xla_disable_hlo_passes": "tree_reduction_rewriter",
}
_SMALL = 2**28  # bytes of weights and inputs


class _Known(NamedTuple):
    """A function of flat arguments and results, and the structure of the results."""

    flat: Any
    structure: Any


class Program(NamedTuple):
    """A compiled program of flat arguments and results.

    Attributes:
        compiled: of JAX.
        structure: of its results, numbers in the place of arrays.
    """

    compiled: Any
    structure: Any

    def __call__(self, *arguments: Any) -> Any:
        """Return what the function that it was compiled of returns."""
        return self._whole(self.compiled(*jax.tree.leaves(arguments)))

    @property
    def out_info(self) -> Any:
        """Return shapes and dtypes of the results."""
        return self._whole(self.compiled.out_info)

    def memory_analysis(self) -> Any:
        """Return what XLA says of the memory that it takes."""
        return self.compiled.memory_analysis()

    def _whole(self, leaves: Sequence[Any]) -> Any:
        return jax.tree.map(lambda place: leaves[place], self.structure)


def compile_known(jitted: Any, arguments: tuple[Any, ...]) -> Any:
    """Return the compiled program of a function, traced only where it must be.

    Args:
        jitted: by `jax.jit`.
        arguments: arrays, or trees of them.
    """
    # Traced anew at each start, which these programs outweigh.
    if apart := compile_apart(jitted.__wrapped__, *arguments):
        return apart
    folder = _folder(arguments)
    path = None if folder is None else _path(folder, jitted, arguments)
    if path is None:
        return _compile(jitted.lower(*arguments))
    known = _read(path) or _trace(jitted, arguments, path)
    leaves = jax.tree.leaves(arguments)
    return Program(_compile(known.flat.lower(*leaves)), known.structure)


def _compile(lowered: jax.stages.Lowered) -> jax.stages.Compiled:
    """Compile a program, a small one for a CPU in haste.

    Of a small program's time most is compiling it (``tools/bench_startup.py``); large
    ones run for minutes or hours, and up to a fifth longer with these options.
    """
    given = jax.tree.leaves(lowered.in_avals)
    num_bytes = sum(math.prod(each.shape) * each.dtype.itemsize for each in given)
    small = jax.default_backend() == "cpu" and num_bytes < _SMALL
    return compile_lowered(lowered, _HASTE if small else None)


def _folder(arguments: tuple[Any, ...]) -> Path | None:
    """Return where programs are kept; None where they are not, or not for a mesh."""
    place = jax.config.values["jax_compilation_cache_dir"]
    enabled = jax.config.values["jax_enable_compilation_cache"]
    arrays = (x for x in jax.tree.leaves(arguments) if isinstance(x, jax.Array))
    alone = all(len(array.sharding.device_set) == 1 for array in arrays)
    if not (enabled and place and alone) or "://" in place:
        return None
    return Path(place) / "traced"


def _path(folder: Path, jitted: Any, arguments: tuple[Any, ...]) -> Path | None:
    leaves, structure = jax.tree.flatten(arguments)
    shapes = tuple(str(jax.typeof(leaf)) for leaf in leaves)
    try:
        name = fingerprint(jitted.__wrapped__, str(structure), shapes)
    except NoFingerprintError:
        return None
    return folder / name


def _trace(jitted: Any, arguments: tuple[Any, ...], path: Path) -> _Known:
    """Return the function of flat arguments, kept where it can be exported."""
    leaves, treedef = jax.tree.flatten(arguments)
    found: list[Any] = []

    def flat(*leaves: Any) -> list[Any]:
        results = jitted.__wrapped__(*jax.tree.unflatten(treedef, leaves))
        results, structure = jax.tree.flatten(results)
        found[:] = [jax.tree.unflatten(structure, range(len(results)))]
        return results

    flat.__name__ = jitted.__name__
    traced = jax.jit(flat)
    traced.trace(*leaves)  # JAX remembers it for what follows
    try:
        told = json.dumps(_told(found[0]))
        exported = _export(traced, leaves)
        _keep(path, told, bytes(exported.serialize()))
    except (ValueError, NotImplementedError):
        # Callbacks cannot be kept, and results of foreign types are not.
        return _Known(traced, found[0])
    # What the next run compiles must be what XLA's cache holds.
    return _Known(jax.jit(exported.call), found[0])


def _export(
    jitted: Any, leaves: Sequence[Any], platforms: Sequence[str] | None = None
) -> export.Exported:
    exporting = export.export(jitted, platforms=platforms, disabled_checks=_ANY_CALL)
    return exporting(*leaves)


def _keep(path: Path, told: str, data: bytes) -> None:
    content = f"{told}\n".encode() + data
    digest = hashlib.sha256(content).hexdigest()
    # A folder that cannot be written only costs the cache.
    with contextlib.suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        write_bytes(path, f"{digest}\n".encode() + content)


def _read(path: Path) -> _Known | None:
    """Return a program that was kept whole."""
    try:
        digest, content = path.read_bytes().split(b"\n", 1)
    except (OSError, ValueError):
        return None
    if hashlib.sha256(content).hexdigest().encode() != digest:
        return None
    told, data = content.split(b"\n", 1)
    exported = export.deserialize(bytearray(data))
    return _Known(jax.jit(exported.call), _made(json.loads(told)))


def _told(tree: Any) -> Any:
    """Return a structure as JSON values.

    Raises:
        ValueError: it holds a container that is not of this package.
    """
    if tree is None or isinstance(tree, int):
        return tree
    kind = type(tree)
    if kind in (list, tuple):
        return [kind.__name__, *map(_told, tree)]
    if kind is dict:
        return ["dict", {name: _told(part) for name, part in tree.items()}]
    name = f"{kind.__module__}:{kind.__qualname__}"
    if not isinstance(tree, tuple) or _record(name) is not kind:
        raise ValueError(f"results hold a {kind.__qualname__}")
    return [name, *map(_told, tree)]


def _made(told: Any) -> Any:
    """Return the structure that `_told` gave."""
    if not isinstance(told, list):
        return told
    kind, *parts = told
    if kind == "dict":
        return {name: _made(part) for name, part in parts[0].items()}
    made = [_made(part) for part in parts]
    if kind == "list":
        return made
    return tuple(made) if kind == "tuple" else _record(kind)(*made)


def _record(name: str) -> Callable[..., Any]:
    """Return the record of this name.

    Raises:
        ValueError: there is none, or not in a known package.
    """
    module, _, kind = name.partition(":")
    if module.partition(".")[0] not in _PACKAGES:
        raise ValueError(f"{name} is not of {', '.join(_PACKAGES)}")
    found = getattr(importlib.import_module(module), kind, None)
    if found is None:
        raise ValueError(f"{name} is not there")
    return found

"""Read arrays from the store beneath orbax, each number once (host only).

Orbax writes arrays with tensorstore (OCDBT, zarr3), which reads them without it,
compares the checksum of every chunk, and names a chunk that is damaged.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp

from avits_jax.types import PyTree
from avits_jax.weights.manifest import CheckpointError

# Numbers that are read at the same time, at least one array.
_READ_AT_ONCE = 2**26
# Chunks that several devices take parts of are decoded once.
_CHUNKS_KEPT = 2**28


def read_arrays(
    folder: Path, targets: Mapping[str, jax.ShapeDtypeStruct]
) -> dict[str, jax.Array]:
    """Read arrays to the host, and put them onto devices once.

    Args:
        folder: of the store.
        targets: by path: shape, dtype to cast to, and sharding. With a sharding, only
            the parts of local devices are read. Without, arrays lie on the default
            device and are not tied to it; else a state that goes from one call of a
            jitted search into the next would compile it twice.

    Raises:
        CheckpointError: an array is missing or damaged; one line that names it.
    """
    import tensorstore as ts

    folder = folder.resolve()
    shared = any(target.sharding is not None for target in targets.values())
    context = ts.Context(
        {"cache_pool": {"total_bytes_limit": _CHUNKS_KEPT if shared else 0}}
    )
    arrays = {
        path: jnp.zeros(target.shape, target.dtype, device=target.sharding)
        for path, target in targets.items()
        if not target.size  # these are not stored
    }
    for group in _groups(targets):
        opened = {path: ts.open(_spec(folder, path), context=context) for path in group}
        reads = {}
        for path, target in group.items():
            with _named(folder, path):
                store = ts.cast(opened[path].result(), ts.dtype(target.dtype.name))
                reads[path] = _start(store, target)
        for path, finish in reads.items():
            with _named(folder, path):
                arrays[path] = finish()
    return arrays


def _spec(folder: Path, path: str) -> PyTree:
    files = {"driver": "file", "path": f"{folder}/"}
    store = {"driver": "ocdbt", "base": files, "path": f"{path}/"}
    return {
        "driver": "zarr3",
        "kvstore": store,
        "open": True,
        # Every chunk is stored; one that is not there is no zeros.
        "fill_missing_data_reads": False,
    }


def _check_layout(store: Any, shape: tuple[int, ...]) -> None:
    """Refuse an array that would take other memory than its shape does."""
    if tuple(store.shape) != shape:
        raise ValueError(f"it has shape {tuple(store.shape)}, {shape} expected")
    chunk = store.chunk_layout.read_chunk.shape or ()  # None of a single number
    if any(size > axis for size, axis in zip(chunk, shape, strict=True)):
        raise ValueError(f"it lies in chunks of {tuple(chunk)}")


def _start(store: Any, target: jax.ShapeDtypeStruct) -> Callable[[], jax.Array]:
    """Begin to read an array; the function returned waits for it and places it."""
    shape, sharding = target.shape, target.sharding
    _check_layout(store, shape)
    if sharding is None:
        whole = store.read()
        return lambda: jax.device_put(whole.result())
    places = sharding.addressable_devices_indices_map(shape).values()
    parts = {_bounds(index, shape): index for index in places}
    reads = {bounds: store[index].read() for bounds, index in parts.items()}
    return lambda: jax.make_array_from_callback(
        shape, sharding, lambda index: reads[_bounds(index, shape)].result()
    )


def _bounds(index: Any, shape: tuple[int, ...]) -> tuple:
    return tuple(own.indices(size) for own, size in zip(index, shape, strict=True))


@contextmanager
def _named(folder: Path, path: str) -> Iterator[None]:
    """Say in one line which array cannot be read."""
    try:
        yield
    except Exception as error:  # tensorstore raises many kinds
        first = (str(error).splitlines() or [type(error).__name__])[0]
        reason = first.partition(" [")[0]
        raise CheckpointError(
            f"checkpoint {folder.parent} is damaged: {path} is unreadable: {reason}"
        ) from error


def _groups(
    targets: Mapping[str, jax.ShapeDtypeStruct],
) -> Iterator[dict[str, jax.ShapeDtypeStruct]]:
    """Group arrays to read at once: while they are read they take memory twice."""
    group: dict[str, jax.ShapeDtypeStruct] = {}
    for path, target in targets.items():
        if not target.size:
            continue
        if sum(x.size for x in group.values()) + target.size > _READ_AT_ONCE and group:
            yield group
            group = {}
        group[path] = target
    if group:
        yield group

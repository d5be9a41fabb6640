"""Write arrays through orbax, with a checksum of every chunk (host only).

Orbax keeps a leaf whole in memory while it writes it. The handler of `LazyArray` takes
a leaf's slices one after the other, and writes the same kind of entry.
"""

import asyncio
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np
import orbax.checkpoint as ocp
import tensorstore as ts

from avits_jax.weights import lazy
from avits_jax.weights.lazy import LazyArray

# The checksum comes last: it is of the bytes as they lie in the file. Neither zstd nor
# OCDBT states one, and damaged chunks that zstd did not compress decode to wrong
# numbers.
_CODECS = [
    {"name": "bytes", "configuration": {"endian": "little"}},
    {"name": "zstd", "configuration": {"level": 1}},
    {"name": "crc32c"},
]


def write_arrays(folder: Path, arrays: Mapping[str, np.ndarray | LazyArray]) -> None:
    """Write arrays under their paths; `read_arrays` and orbax read them.

    Args:
        folder: that does not exist yet.
        arrays: by path, each with at least one element, which orbax demands.
    """
    registry = ocp.type_handlers.create_type_handler_registry(
        (LazyArray, _LazyArrayHandler()),
        (np.ndarray, _ArrayHandler(deepcopy_host_arrays=False)),
        # None comes here; without a handler orbax warns of metadata that it leaves out.
        (jax.Array, ocp.type_handlers.ArrayHandler()),
    )
    handler = ocp.PyTreeCheckpointHandler(
        use_zarr3=True, type_handler_registry=registry
    )
    with ocp.Checkpointer(handler) as checkpointer:
        checkpointer.save(folder.resolve(), dict(arrays))
    # Its mark names this machine's folders; the manifest says what is complete.
    (folder / "commit_success.txt").unlink(missing_ok=True)


def _lay_out(tspec: dict[str, Any], array: np.ndarray | LazyArray) -> None:
    """Set how an array is cut and encoded."""
    cut = {"name": "regular", "configuration": {"chunk_shape": lazy.chunk_shape(array)}}
    tspec["metadata"] |= {"chunk_grid": cut, "codecs": _CODECS}


class _ArrayHandler(ocp.type_handlers.NumpyHandler):
    """Writes arrays with checksums, many at once."""

    async def _open_and_write(self, value, tspec, ts_context) -> None:
        _lay_out(tspec, value)
        await super()._open_and_write(value, tspec, ts_context)


class _LazyArrayHandler(ocp.type_handlers.NumpyHandler):
    """Writes `LazyArray`, slice by slice; what it wrote is read like any array.

    Small slices are kept until there are enough of them to be worth a commit, for which
    the file system is waited for.
    """

    async def serialize(
        self,
        values: Sequence[Any],
        infos: Sequence[Any],
        args: Sequence[Any] | None = None,
    ) -> Sequence[Any]:
        """Write all values before returning."""
        self._batch, self._held = ts.Transaction(), 0
        args = args or [ocp.SaveArgs()] * len(values)
        for value, info, arg in zip(values, infos, args, strict=True):
            await self._background_serialize([value], [info], [arg])
        self._commit()
        return []

    def _commit(self) -> None:
        # Not awaited, as no write is: one that outlives Ctrl-C would report to a closed
        # loop.
        self._batch.commit_sync()
        self._batch, self._held = ts.Transaction(), 0

    async def _open_and_write(self, value, tspec, ts_context) -> None:
        _lay_out(tspec, value)
        spec = ts.Spec(tspec)
        store = await ts.open(
            spec, create=True, open=True, context=ts_context, transaction=self._batch
        )
        for index, part in value.slices():
            part = np.asarray(part, value.dtype, order="C")
            if self._held + part.nbytes > lazy.CHUNK_BYTES:
                self._commit()
                large = part.nbytes > lazy.CHUNK_BYTES
                store = store.with_transaction(None if large else self._batch)
            store[index].write(part).result()
            self._held += part.nbytes
            # A chance for Ctrl-C to end the loop.
            await asyncio.sleep(0)

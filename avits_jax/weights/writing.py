"""Write leaves that are larger than memory, slice by slice, through orbax (host only).

Orbax keeps a leaf whole in memory while it writes it. The handler here takes a leaf's
slices one after the other, and writes the same kind of entry.
"""

import asyncio
from collections.abc import Sequence
from typing import Any

import numpy as np
import orbax.checkpoint as ocp
import tensorstore as ts

from avits_jax.weights.checkpoint import LazyArray

CHUNK_BYTES = 2**25


def chunk_shape(array: LazyArray) -> list[int]:
    """Shape of a stored chunk: part of one slice, of about ``CHUNK_BYTES``."""
    shape = list(array.shape)
    for axis in range(len(shape)):
        rest = int(np.prod(shape[axis + 1 :])) * array.dtype.itemsize
        if axis >= array.stacked and rest <= CHUNK_BYTES:
            return (
                [1] * axis + [min(shape[axis], CHUNK_BYTES // rest)] + shape[axis + 1 :]
            )
    return [1] * len(shape)


class LazyArrayHandler(ocp.type_handlers.NumpyHandler):
    """Writes `LazyArray`; what it wrote is read like any array."""

    async def serialize(
        self,
        values: Sequence[Any],
        infos: Sequence[Any],
        args: Sequence[Any] | None = None,
    ) -> Sequence[Any]:
        """Write all values before returning, one slice in memory at a time."""
        args = args or [ocp.SaveArgs()] * len(values)
        for value, info, arg in zip(values, infos, args, strict=True):
            await self._background_serialize([value], [info], [arg])
        return []

    async def _open_and_write(self, value, tspec, ts_context) -> None:
        tspec["metadata"]["chunks"] = chunk_shape(value)
        spec = ts.Spec(tspec)
        store = await ts.open(spec, create=True, open=True, context=ts_context)
        for index, part in value.slices():
            part = np.asarray(part, value.dtype, order="C")
            # Not awaited: a write that outlives Ctrl-C would report to a closed loop.
            store[index].write(part).result()
            # A chance for Ctrl-C to end the loop.
            await asyncio.sleep(0)


def checkpointer() -> ocp.Checkpointer:
    """Return Orbax's checkpointer of flat dicts of `LazyArray` and arrays."""
    registry = ocp.type_handlers.create_type_handler_registry(
        (LazyArray, LazyArrayHandler()),
        (np.ndarray, ocp.type_handlers.NumpyHandler(deepcopy_host_arrays=False)),
        *_jax_handlers(),
    )
    return ocp.Checkpointer(ocp.PyTreeCheckpointHandler(type_handler_registry=registry))


def _jax_handlers() -> list[tuple[Any, Any]]:
    import jax

    return [(jax.Array, ocp.type_handlers.ArrayHandler())]

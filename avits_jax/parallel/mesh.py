"""A search's devices as a mesh: candidates along one axis, weights along the other."""

from collections.abc import Sequence

import jax
import numpy as np
from jax.sharding import Mesh

CANDIDATE = "candidate"
MODEL = "model"


def make_mesh(
    *, model: int = 1, num_devices: int | None = None, devices: Sequence | None = None
) -> Mesh:
    """Return a mesh with the axes ``candidate`` and ``model``.

    A group of `model` neighbouring devices shares one copy of whatever weights the
    sharding rules split; candidates are spread over all devices of the mesh.

    Args:
        model: devices that share one copy of the weights; a divisor of their number.
        num_devices: how many devices to use, or None for all. On several hosts all
            devices must be used.
        devices: devices to choose from, in order; by default those of all hosts
            (`jax.devices()`). Those of a described TPU topology do as well.

    Returns:
        A mesh of shape ``(num_devices / model, model)``.

    Raises:
        ValueError: more devices are asked for than there are, `model` does not divide
            their number, or hosts would be left out.
    """
    devices = list(jax.devices() if devices is None else devices)
    count = len(devices) if num_devices is None else num_devices
    if not 1 <= count <= len(devices):
        raise ValueError(
            f"num_devices must lie in [1, {len(devices)}], the devices there are, "
            f"got {count}"
        )
    if model < 1 or count % model:
        raise ValueError(
            f"model must divide the number of devices ({count}), got {model}"
        )
    chosen = devices[:count]
    left_out = {d.process_index for d in devices} - {d.process_index for d in chosen}
    if left_out:
        raise ValueError(
            f"num_devices = {count} leaves out the devices of {len(left_out)} host(s); "
            "every host must take part"
        )
    grid = np.empty(count, object)
    grid[:] = chosen
    return Mesh(grid.reshape(count // model, model), (CANDIDATE, MODEL))

"""A search's devices as a mesh: axes for candidates, weights, branches of guidance."""

from collections.abc import Sequence

import jax
import numpy as np
from jax.sharding import Mesh

from avits_jax.sampling.guidance import BRANCH

CANDIDATE = "candidate"
MODEL = "model"


def make_mesh(
    *,
    model: int = 1,
    branch: int = 1,
    num_devices: int | None = None,
    devices: Sequence | None = None,
) -> Mesh:
    """Return a mesh with the axes ``candidate`` and ``model``.

    A group of `model` neighbouring devices shares one copy of whatever weights the
    sharding rules split; candidates are spread over all devices of the mesh.

    Args:
        model: devices that share one copy of the weights; a divisor of their number.
        branch: neighbouring devices that work on the same candidates, each on one
            branch of their guidance: for fewer candidates than devices, with as many as
            a step has branches, and a generator that asks `sampling.shares_branches`.
            Decoders and verifiers run on all of them alike. `model` times `branch` is a
            divisor of the number of devices.
        num_devices: how many devices to use, or None for all. On several hosts all
            devices must be used.
        devices: devices to choose from, in order; by default those of all hosts
            (`jax.devices()`). Those of a described TPU topology do as well.

    Returns:
        A mesh of shape ``(num_devices / model, model)``; with branches a third axis of
        that size, and so many times fewer groups.

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
    if branch < 1 or count % (model * branch):
        raise ValueError(
            f"branch must divide the number of devices ({count}) over model = {model}, "
            f"got {branch}"
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
    if branch == 1:
        return Mesh(grid.reshape(-1, model), (CANDIDATE, MODEL))
    return Mesh(grid.reshape(-1, model, branch), (CANDIDATE, MODEL, BRANCH))

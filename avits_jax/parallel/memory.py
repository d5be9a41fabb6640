"""Which split weights a device can hold whole: an estimate before anything is compiled.

Weights that are split over a mesh have to be whole where candidates are worked on. They
can be gathered ``"once"``, before a search's loops, and stay; on ``"entry"``, each time
a network is entered; or one ``"block"`` at a time, inside the scan over its layers.
"""

import math
from collections.abc import Sequence
from typing import Literal, NamedTuple, get_args

import jax
from jax.sharding import Mesh

from avits_jax.types import PyTree

Gather = Literal["once", "entry", "block"]
GatherChoice = Literal["auto", "once", "entry", "block"]

# Bytes of memory of devices that are described and not there, by their kind.
_TPU_MEMORY = {
    "TPU v4": 32e9,
    "TPU v5 lite": 16e9,
    "TPU v5": 95e9,
    "TPU v6 lite": 32e9,
}
# Left free, and set aside for latents, activations and clips: JavisDiT at 240p, 4 s
# takes 2.4 of a v5e's 16 GB for them.
SPARE, WORKING = 0.1, 0.15


class Held(NamedTuple):
    """Bytes of one network's weights on a device.

    Attributes:
        own: of its part.
        whole: of all of them.
    """

    own: int
    whole: int


class Gathers(NamedTuple):
    """When weights are gathered: the generator's, and each verifier's, in order."""

    generator: Gather
    verifiers: tuple[Gather, ...]


def held(params: PyTree, shardings: PyTree) -> Held:
    """Return what weights take, each leaf counted.

    Args:
        params: arrays or their shapes.
        shardings: a tree like `params`.
    """
    own = whole = 0
    for leaf, sharding in zip(
        jax.tree.leaves(params), jax.tree.leaves(shardings), strict=True
    ):
        size = leaf.dtype.itemsize
        own += size * math.prod(sharding.shard_shape(leaf.shape))
        whole += size * math.prod(leaf.shape)
    return Held(own, whole)


def device_memory(mesh: Mesh) -> float | None:
    """Return bytes of memory of a mesh's devices, or None where it is not known."""
    device = mesh.devices.flat[0]
    known = _TPU_MEMORY.get(device.device_kind)
    if known is not None or device.process_index != jax.process_index():
        return known
    stats = device.memory_stats() or {}
    return stats.get("bytes_limit")


def choose_gathers(
    generator: Held, verifiers: Sequence[Held], memory: float | None, *, stays: bool
) -> Gathers:
    """Choose when weights are gathered, by what fits beside all devices' parts.

    A tenth of the memory is left free, 0.15 of it is for what is worked on.

    Args:
        generator: of `own`, all its weights; of `whole`, those that its steps read.
        verifiers: the verifiers' weights, a tree that several share counted once.
        memory: bytes of a device; None: everything fits.
        stays: the generator's weights are needed again after a verifier has been.
    """
    every = (generator, *verifiers)
    room = math.inf
    if memory is not None:
        room = (1 - SPARE - WORKING) * memory - sum(each.own for each in every)
    # Where verifiers come last, what is gathered before is free again.
    if stays and sum(each.whole for each in every) <= room:
        return alike("once", len(verifiers))
    once = generator.whole <= room
    beside = room - generator.whole if once and stays else room
    return Gathers(
        "once" if once else "block",
        tuple("entry" if each.whole <= beside else "block" for each in verifiers),
    )


def alike(gather: Gather, num_verifiers: int) -> Gathers:
    """Return the same for all networks."""
    return Gathers(gather, (gather,) * num_verifiers)


def check_gather(gather: str) -> GatherChoice:
    """Return a choice that there is.

    Raises:
        ValueError: naming what is accepted.
    """
    for choice in get_args(GatherChoice):
        if gather == choice:
            return choice
    raise ValueError(f"gather is {gather!r}; accepted are {get_args(GatherChoice)}")

"""The text tower apart: its own program, which runs before the search."""

import contextlib
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from avits_jax.runs.devices import ONE_DEVICE, Devices
from avits_jax.text.prompt import split_text
from avits_jax.types import Generator, PyTree

OnDevice = Callable[[], contextlib.AbstractContextManager[None]]
"""Makes a context in which weights of a text tower stay on the device."""


class Apart(NamedTuple):
    """A generator and its text tower.

    Attributes:
        generator: its ``encode`` runs the text tower.
        params: weights without the tower's.
        text_on_device: a context in which the tower's weights stay on the device from
            one prompt to the next; outside they go there for each prompt.
    """

    generator: Generator
    params: PyTree
    text_on_device: OnDevice


def text_apart(
    generator: Generator, params: PyTree, devices: Devices = ONE_DEVICE
) -> Apart:
    """Return a generator whose ``encode`` runs the text tower, and weights without it.

    The tower's weights wait in the host's memory and are on the device only while
    prompts are encoded, so that a search has the device to itself. Weights that are
    split over a mesh stay where they lie.

    Args:
        generator: the generator; one without a text tower is returned as it is.
        params: its weights.
        devices: what the tower is compiled for.
    """
    if generator.text is None or generator.encode is None:
        return Apart(generator, params, contextlib.nullcontext)
    tower, rest = split_text(generator, params)
    split = any(_is_split(leaf) for leaf in jax.tree.leaves(tower))
    tower = tower if split else jax.device_get(tower)
    tokenize, text = generator.encode, devices.compiled(generator.text)
    there: list[PyTree] = []

    @contextlib.contextmanager
    def on_device() -> Iterator[None]:
        weights = tower if split else devices.share(tower)
        there.append(jax.tree.map(jnp.asarray, weights))
        try:
            yield
        finally:
            there.clear()

    def encode(prompt: str) -> PyTree:
        ids = jax.tree.map(jnp.asarray, tokenize(prompt))
        weights = there[0] if there else tower
        return devices.fetch(text(weights, devices.share(ids)))

    apart = generator._replace(encode=encode, text=None, text_part="")
    return Apart(apart, rest, on_device)


def _is_split(leaf: Any) -> bool:
    return isinstance(leaf, jax.Array) and len(leaf.sharding.device_set) > 1

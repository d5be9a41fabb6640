"""The text tower apart: run once per prompt, before the search, on its own."""

from typing import Any

import jax
import jax.numpy as jnp

from avits_jax.runs.devices import ONE_DEVICE, Devices
from avits_jax.text.prompt import split_text
from avits_jax.types import Generator, PyTree


def text_apart(
    generator: Generator, params: PyTree, devices: Devices = ONE_DEVICE
) -> tuple[Generator, PyTree]:
    """Return a generator whose ``encode`` runs the text tower, and weights without it.

    The tower's weights wait in the host's memory and go to the device for each prompt,
    so that a search has the device to itself. Weights that are split over a mesh stay
    where they lie.

    Args:
        generator: the generator; one without a text tower is returned as it is.
        params: its weights.
        devices: what the tower is compiled for.
    """
    if generator.text is None or generator.encode is None:
        return generator, params
    tower, rest = split_text(generator, params)
    if not any(_is_split(leaf) for leaf in jax.tree.leaves(tower)):
        tower = jax.device_get(tower)
    tokenize, text = generator.encode, devices.compiled(generator.text)

    def encode(prompt: str) -> PyTree:
        ids = jax.tree.map(jnp.asarray, tokenize(prompt))
        return devices.fetch(text(tower, devices.share(ids)))

    return generator._replace(encode=encode, text=None, text_part=""), rest


def _is_split(leaf: Any) -> bool:
    return isinstance(leaf, jax.Array) and len(leaf.sharding.device_set) > 1

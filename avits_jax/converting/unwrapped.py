"""State dicts of networks that were saved inside a wrapper for several devices."""

from pathlib import Path
from typing import Any

from avits_jax.converting.files import read_weights
from avits_jax.weights.name_map import WeightsError

_WRAPPER = "module."


def read_unwrapped(path: Path) -> dict[str, Any]:
    """Return the state dict at ``path`` without "module." anywhere in its keys.

    Args:
        path: as `read_weights` takes it.

    Raises:
        WeightsError: two keys become the same; and as `read_weights`.
    """
    state: dict[str, Any] = {}
    for key, value in read_weights(path).items():
        plain = key.replace(_WRAPPER, "")
        if plain in state:
            raise WeightsError(f"{path}: {plain} is there with and without {_WRAPPER}")
        state[plain] = value
    return state

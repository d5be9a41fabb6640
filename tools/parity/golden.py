"""One golden: a JSON description, inputs, expected outputs and tiny weights."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np
from safetensors.numpy import load_file

_SAME_IN_JAX = ("float32", "int32", "bool")


@dataclass(frozen=True)
class Golden:
    """A case of a folder of goldens.

    Attributes:
        folder: where the files lie.
        name: ``NAME`` of NAME.json, NAME.io.npz and NAME.weights.safetensors.
    """

    folder: Path
    name: str

    @cached_property
    def info(self) -> dict[str, Any]:
        """The JSON description."""
        return json.loads((self.folder / f"{self.name}.json").read_text("utf-8"))

    @cached_property
    def arrays(self) -> dict[str, Any]:
        """Everything in NAME.io.npz, by its stored name; empty where there is none.

        What JAX holds as it is stored is a JAX array, the rest a NumPy array.
        """
        path = self.folder / f"{self.name}.io.npz"
        if not path.exists():
            return {}
        with np.load(path) as stored:
            return {key: _for_jax(stored[key]) for key in stored.files}

    @property
    def inputs(self) -> dict[str, Any]:
        """Arrays stored as ``in.X``, by X."""
        return self.under("in.")

    @property
    def outputs(self) -> dict[str, Any]:
        """Arrays stored as ``out.X``, by X."""
        return self.under("out.")

    def under(self, prefix: str) -> dict[str, Any]:
        """Arrays whose name starts with ``prefix``, without it."""
        return strip_prefix(self.arrays, prefix)

    @cached_property
    def weights(self) -> dict[str, np.ndarray]:
        """The tiny state dict, under the original's key names."""
        named = self.info.get("weights")
        file = named if isinstance(named, str) else f"{self.name}.weights.safetensors"
        return load_file(self.folder / file)

    @cached_property
    def manifest(self) -> dict[str, Any]:
        """``key -> [shape, dtype]`` of a manifest."""
        for field in ("state_dict", "tensors"):
            if field in self.info:
                return self.info[field]
        raise KeyError(f"{self.name}.json holds neither state_dict nor tensors")


def _for_jax(array: np.ndarray) -> Any:
    return jnp.asarray(array) if array.dtype in _SAME_IN_JAX else array


def strip_prefix(values: Mapping[str, Any], prefix: str) -> dict[str, Any]:
    """Entries whose key starts with ``prefix``, without it."""
    return {k[len(prefix) :]: v for k, v in values.items() if k.startswith(prefix)}


def find_goldens(folder: Path) -> list[Golden]:
    """All goldens of a folder, by name.

    Raises:
        FileNotFoundError: the folder does not exist or holds no golden.
    """
    names = sorted(path.stem for path in folder.glob("*.json"))
    if not names:
        raise FileNotFoundError(f"{folder} holds no NAME.json")
    return [Golden(folder, name) for name in names]

"""An aggregator's state as bytes and back, bit for bit."""

from typing import Any

import jax
import numpy as np

from avits_jax.types import PyTree


def on_host(state: PyTree) -> PyTree:
    """Return a state of NumPy arrays: what every prompt of a run starts from.

    Arrays fresh from a factory may be weakly typed, which would be another program.
    """
    return jax.tree.map(np.asarray, jax.device_get(state))


def pack(state: PyTree) -> bytes:
    """Return the little-endian bytes of a state's arrays, one after another."""
    leaves = [np.asarray(leaf) for leaf in jax.tree.leaves(state)]
    little = (leaf.astype(leaf.dtype.newbyteorder("<")) for leaf in leaves)
    return b"".join(leaf.tobytes() for leaf in little)


def unpack(data: bytes, like: PyTree) -> PyTree:
    """Return the state that `pack` made ``data`` of.

    Args:
        data: the bytes.
        like: a state of the same aggregator.

    Raises:
        ValueError: ``data`` is longer or shorter than such a state.
    """
    leaves, treedef = jax.tree.flatten(like)
    arrays = [np.asarray(leaf) for leaf in leaves]
    size = sum(array.nbytes for array in arrays)
    if len(data) != size:
        raise ValueError(
            f"data must be the {size} bytes of a state of this aggregator, "
            f"got {len(data)}"
        )
    restored, start = [], 0
    for array in arrays:
        kind = array.dtype.newbyteorder("<")
        part = np.frombuffer(data, kind, array.size, start).reshape(array.shape)
        restored.append(part.astype(array.dtype))
        start += array.nbytes
    return jax.tree.unflatten(treedef, restored)


def after(data: bytes | None, fresh: PyTree) -> PyTree:
    """Return the state in ``data``, see `unpack`; ``fresh`` where there is none."""
    return fresh if data is None else unpack(data, fresh)


def layout(state: PyTree) -> list[dict[str, Any]]:
    """Return name, shape and dtype of a state's arrays, as JSON values in order."""
    return [
        {"name": _name(path), "shape": list(leaf.shape), "dtype": str(leaf.dtype)}
        for path, leaf in jax.tree.leaves_with_path(on_host(state))
    ]


def numbers(state: PyTree) -> dict[str, Any]:
    """Return a state's arrays by name, as JSON values."""
    leaves = jax.tree.leaves_with_path(on_host(state))
    return {_name(path): leaf.tolist() for path, leaf in leaves}


def from_numbers(learned: dict[str, Any], like: PyTree) -> PyTree:
    """Return the state that `numbers` made ``learned`` of.

    Args:
        learned: arrays by name.
        like: a state of the same aggregator.

    Raises:
        ValueError: names or shapes are those of another aggregator, or something is no
            number.
    """
    leaves, treedef = jax.tree_util.tree_flatten_with_path(on_host(like))
    names = [_name(path) for path, _ in leaves]
    if sorted(names) != sorted(learned):
        raise ValueError(
            f"learned must hold {', '.join(names)}, got {', '.join(learned)}"
        )
    arrays = []
    for name, (_, leaf) in zip(names, leaves, strict=True):
        try:
            array = np.asarray(learned[name], leaf.dtype)
        except (TypeError, ValueError, OverflowError) as error:
            raise ValueError(f"learned: {name} holds no numbers: {error}") from error
        if array.shape != leaf.shape:
            raise ValueError(
                f"learned: {name} must be of shape {leaf.shape}, got {array.shape}"
            )
        arrays.append(array)
    return jax.tree.unflatten(treedef, arrays)


def _name(path: Any) -> str:
    return jax.tree_util.keystr(path, simple=True, separator=".")

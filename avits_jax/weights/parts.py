"""Checkpoints of several networks, each readable on its own (host only).

The folder holds one checkpoint per network and ``parts.json``, which is written last
and states the digest of every network's manifest::

    parts.json      format, model, config, parts
    transformer/    a checkpoint of `avits_jax.weights.checkpoint`
    t5/             another one
"""

import hashlib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from avits_jax.weights.checkpoint import CheckpointError

FORMAT = 1
_INDEX = "parts.json"


def write_index(
    folder: str | Path, names: Iterable[str], metadata: Mapping[str, Any]
) -> None:
    """Write that ``folder`` is complete, and which parts it consists of.

    Args:
        folder: holds a checkpoint under each of the names.
        names: of the parts.
        metadata: JSON values; "model" (str) is required.
    """
    folder = Path(folder)
    if not isinstance(metadata.get("model"), str):
        raise ValueError(f"metadata needs a 'model' name, got {dict(metadata)!r}")
    parts = {name: _digest(folder / name) for name in names}
    text = json.dumps({"format": FORMAT, **metadata, "parts": parts}, indent=1) + "\n"
    (folder / _INDEX).write_text(text, encoding="utf-8")


def is_in_parts(folder: str | Path) -> bool:
    """Tell whether ``folder`` is a checkpoint of several networks."""
    return (Path(folder) / _INDEX).is_file()


def read_index(
    folder: str | Path, *, expect_parts: Iterable[str] = ()
) -> dict[str, Any]:
    """Return the index of a checkpoint in parts, all of them known to be there.

    Arrays are checked when a part is loaded with `avits_jax.weights.checkpoint.load`.

    Args:
        folder: written by the conversion of a model of several networks.
        expect_parts: names that must be among its parts.

    Returns:
        The metadata ("model", "config" and others), and "parts": name -> digest.

    Raises:
        CheckpointError: the folder is none, is half a conversion, or a part is missing
            or was exchanged; all such parts are named in one line.
    """
    folder = Path(folder)
    try:
        index = json.loads((folder / _INDEX).read_text(encoding="utf-8"))
    except OSError:
        raise CheckpointError(f"{folder} is no whole checkpoint: no {_INDEX}") from None
    except ValueError:
        raise CheckpointError(f"{folder / _INDEX} is damaged: not JSON") from None
    found = index.get("format") if isinstance(index, dict) else None
    if found != FORMAT or not isinstance(index.get("parts"), dict):
        raise CheckpointError(f"{folder / _INDEX} has format {found}, not {FORMAT}")
    faults = [f"no {name}" for name in expect_parts if name not in index["parts"]]
    for name, digest in index["parts"].items():
        if not (folder / name / "manifest.json").is_file():
            faults.append(f"{name} is missing")
        elif _digest(folder / name) != digest:
            faults.append(f"{name} is of another conversion")
    if faults:
        raise CheckpointError(f"checkpoint {folder} is incomplete: {'; '.join(faults)}")
    return index


def _digest(part: Path) -> str:
    return hashlib.sha256((part / "manifest.json").read_bytes()).hexdigest()

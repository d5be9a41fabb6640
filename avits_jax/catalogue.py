"""What is known of each model and verifier, for listings and error messages."""

import difflib
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from avits_jax.resources import data_folder


class Info(NamedTuple):
    """One line of ``avits list``.

    Attributes:
        name: as on the command line.
        description: what it does.
        needs: weights that must be fetched and converted first, or "nothing".
        licence: of the weights.
        folder: of its checkpoint.
    """

    name: str
    description: str
    needs: str
    licence: str
    folder: Path

    @property
    def present(self) -> bool:
        """The checkpoint is there."""
        return (self.folder / "manifest.json").is_file()


def shipped(path: str) -> Path:
    """Folder of a checkpoint that comes with the package."""
    return data_folder("checkpoints") / path


def find(kind: str, name: str, known: Sequence[Info]) -> Info:
    """Return the record of that name.

    Raises:
        ValueError: there is none; the nearest name is suggested.
    """
    names = [info.name for info in known]
    if name not in names:
        raise ValueError(f"unknown {kind} {name!r}{_nearest(name, names)}")
    return known[names.index(name)]


def _nearest(name: str, names: Iterable[str]) -> str:
    names = list(names)
    near = difflib.get_close_matches(name.lower(), names, n=1, cutoff=0.5)
    guess = f"; did you mean {near[0]!r}?" if near else ""
    return f"{guess} (there are: {', '.join(names)})"

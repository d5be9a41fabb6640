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
        listed = ", ".join(names)
        raise ValueError(
            f"unknown {kind} {name!r}{nearest(name, names)} (there are: {listed})"
        )
    return known[names.index(name)]


def nearest(name: str, accepted: Iterable[str]) -> str:
    """Return "; did you mean 'x'?" for the accepted name nearest to `name`, or ""."""
    near = difflib.get_close_matches(name.lower(), list(accepted), n=1, cutoff=0.5)
    return f"; did you mean {near[0]!r}?" if near else ""

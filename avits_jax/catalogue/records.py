"""What is known of each model and verifier, for listings and error messages."""

import difflib
import importlib
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from avits_jax.files.resources import data_folder
from avits_jax.files.stores import address_of

if TYPE_CHECKING:
    from avits_jax.weights.model import Download, Model

HOME = "AVITS_CHECKPOINTS"


class Info(NamedTuple):
    """One line of ``avits list``.

    Attributes:
        name: as on the command line.
        description: what it does.
        licence: of the weights.
        folder: of its checkpoint; None where it has no weights.
        module: dotted path of the module whose ``MODEL`` lists what is fetched and what
            its user must know of the licence; "" where nothing is fetched.
        convert: name of the model for ``avits convert``.
        random: it has random weights, always.
    """

    name: str
    description: str
    licence: str
    folder: Path | None
    module: str = ""
    convert: str = ""
    random: bool = False

    @property
    def downloads(self) -> tuple["Download", ...]:
        """Return what the conversion reads."""
        return self._model.downloads if self.module else ()

    @property
    def notice(self) -> str:
        """Return what its user must know of its licence, or ""."""
        return self._model.notice if self.module else ""

    @property
    def _model(self) -> "Model":
        # Networks are imported when they are asked for: listing mini needs none.
        return importlib.import_module(self.module).MODEL

    @property
    def present(self) -> bool:
        """Tell whether nothing is to fetch, or the checkpoint is there."""
        if self.folder is None:
            return True
        return any(
            (self.folder / name).is_file() for name in ("manifest.json", "parts.json")
        )

    @property
    def left_out(self) -> tuple[str, ...]:
        """Return the optional networks that the checkpoint lacks."""
        if self.folder is None or not self.module or not self.present:
            return ()
        optional = (part.name for part in self._model.parts if part.optional)
        return tuple(name for name in optional if not (self.folder / name).is_dir())

    @property
    def missing(self) -> str:
        """Say what to do about missing weights: files, sizes, licences, command."""
        files = "; ".join(
            f"{each.what} of {each.repository} ({each.gigabytes:g} GB, {each.licence})"
            for each in self.downloads
        )
        return (
            f"the weights of {self.name} are not at {self.folder}. Fetch {files}; "
            f"then: avits convert {self.convert} --source FOLDER --out "
            f"{self.folder}. Or try everything with random weights: --random-weights "
            "(random_weights=True)"
        )


def shipped(path: str) -> Path:
    """Return the folder of a checkpoint that comes with the package."""
    return data_folder("checkpoints") / path


def converted(name: str) -> Path:
    """Return the folder of a checkpoint that its user has converted, there or not.

    Looked for in the folder that AVITS_CHECKPOINTS names, in ./checkpoints, and beside
    the shipped checkpoints. An address there is looked at when a name is resolved.
    """
    chosen = os.environ.get(HOME)
    homes = [Path(chosen)] if chosen and address_of(chosen) is None else []
    homes += [Path("checkpoints"), data_folder("checkpoints")]
    return next(
        (home / name for home in homes if (home / name).is_dir()), homes[0] / name
    )


def find(kind: str, name: str, known: Sequence[Info]) -> Info:
    """Return the record of that name.

    Raises:
        ValueError: there is none; the nearest name is suggested.
    """
    names = [info.name for info in known]
    if name not in names:
        listed = ", ".join(names)
        raise ValueError(
            f"unknown {kind} {name!r} (there are: {listed}){nearest(name, names)}"
        )
    return known[names.index(name)]


def nearest(name: str, accepted: Iterable[str]) -> str:
    """Return "; did you mean 'x'?" for the accepted name nearest to `name`, or ""."""
    near = difflib.get_close_matches(name.lower(), list(accepted), n=1, cutoff=0.5)
    return f"; did you mean {near[0]!r}?" if near else ""

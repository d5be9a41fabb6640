"""Every model that can be converted, from the tables of the catalogue."""

import importlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from avits_jax.catalogue import metrics, verifiers
from avits_jax.catalogue.generators import FAMILIES, Family
from avits_jax.converting import ltx2, ltx2_lora
from avits_jax.converting.files import Found, read_weights
from avits_jax.converting.lora import read_video_reward
from avits_jax.converting.unwrapped import read_unwrapped
from avits_jax.weights.model import Model

State = Mapping[str, Any]

# What reads the files of a model that are published in a way of their own.
READERS: dict[str, Callable[[Path], State]] = {
    "cavp": read_unwrapped,
    "video_reward": read_video_reward,
}

_LTX2 = ("ltx-2", "ltx-2-distilled", "ltx-2.3", "ltx-2.3-distilled")

# What finds the networks of a model whose files hold several of them.
FINDERS: dict[str, Callable[[Model, Path], dict[str, Found]]] = {
    name: ltx2.find_ltx2 for name in _LTX2
}

# What merges low-rank updates into the networks of a model.
MERGERS: dict[str, Callable[..., dict[str, Found]]] = {
    name: ltx2_lora.merge_loras for name in _LTX2
}


def modules(families: Sequence[Family] = FAMILIES) -> dict[str, str]:
    """Return name for the command line -> module that has the model.

    Args:
        families: the table of generators.
    """
    found = {each.convert: each.module for each in families if each.convert}
    found |= {
        each.checkpoint: f"avits_jax.verifiers.{each.module}.parts"
        for each in verifiers.FAMILIES
        if each.checkpoint
    }
    found |= {info.convert: info.module for info in metrics.infos()}
    return dict(sorted(found.items()))


def find_model(name: str, families: Sequence[Family] = FAMILIES) -> Model:
    """Return a model by its name for the command line.

    Args:
        name: one of `modules`.
        families: the table of generators.
    """
    return importlib.import_module(modules(families)[name]).MODEL


def reader_of(model: Model) -> Callable[[Path], State]:
    """Return what reads a model's published files: ``path -> state dict``."""
    return READERS.get(model.name, read_weights)


def finder_of(model: Model) -> Callable[[Model, Path], dict[str, Found]] | None:
    """Return what finds all networks of a model, None where each has its own files."""
    return FINDERS.get(model.name)


def layout(families: Sequence[Family] = FAMILIES) -> str:
    """Return what the source of each model holds, for help."""
    lines, names = [], modules(families)
    place = max(map(len, names)) + 2
    for name in names:
        for i, each in enumerate(find_model(name, families).downloads):
            lead = name if i == 0 else ""
            lines.append(f"  {lead:<{place}}{each.what}")
            lines.append(f"  {'':<{place}}of {each.repository} ({each.licence})")
    return "\n".join(lines)

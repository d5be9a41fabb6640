"""What the names of a model and of verifiers stand for, found out once.

Whoever needs to know which checkpoint is meant, whether its weights are drawn, or under
which licence they are, asks the record that `resolve` made of the name.
"""

import hashlib
import os
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from avits_jax.catalogue import generators, metrics, verifiers
from avits_jax.catalogue.names import TINY, Request, parse
from avits_jax.catalogue.records import HOME, Info, find
from avits_jax.files.stores import address_of, naming
from avits_jax.weights.checkpoint import read_manifest
from avits_jax.weights.parts import is_in_parts, read_index
from avits_jax.weights.stored import local_checkpoint


class Resolved(NamedTuple):
    """What one name stands for.

    Attributes:
        name: as it was asked for.
        request: the name taken apart.
        info: what is known of it.
        folder: where its weights are read from; None where they are drawn, or where
            there are none.
        drawn: its weights are random, so that what it makes or says means nothing.
    """

    name: str
    request: Request
    info: Info
    folder: Path | None
    drawn: bool

    @property
    def notice(self) -> str:
        """Return what the user must know of the licence of the weights, or ""."""
        return "" if self.drawn else self.info.notice

    @property
    def digest(self) -> str:
        """Return sixteen digits that tell checkpoints apart; "none" where none is read.

        They are of its manifests, which hold the digests of all its files.
        """
        if self.folder is None:
            return "none"
        parts = sorted(self.folder.glob("*/manifest.json"))
        files = [self.folder / "manifest.json", self.folder / "parts.json", *parts]
        content = b"".join(file.read_bytes() for file in files if file.is_file())
        return hashlib.sha256(content).hexdigest()[:16] if content else "none"


class Resolution(NamedTuple):
    """What all names of one call stand for.

    Attributes:
        model: the generator, or None where none is named.
        verifiers: in the order of their names.
        families: the table that the generator was looked up in.
        refiner: whose weights refine its candidates; None without a second stage.
    """

    model: Resolved | None
    verifiers: tuple[Resolved, ...]
    families: Sequence[generators.Family] = generators.FAMILIES
    refiner: Resolved | None = None

    @property
    def everyone(self) -> tuple[Resolved, ...]:
        """Return the generator, if there is one, the verifiers, and what refines."""
        others = () if self.refiner in (None, self.model) else (self.refiner,)
        found = (self.model, *self.verifiers, *others)
        return tuple(each for each in found if each is not None)

    @property
    def drawn(self) -> tuple[str, ...]:
        """Return the names of those whose weights are drawn."""
        return tuple(each.name for each in self.everyone if each.drawn)

    @property
    def notices(self) -> tuple[str, ...]:
        """Return what the user must know of licences, each once."""
        found = dict.fromkeys(each.notice for each in self.everyone)
        return tuple(notice for notice in found if notice)


def resolve(
    model: str,
    verifiers: Sequence[str],
    random_weights: bool = False,
    families: Sequence[generators.Family] = generators.FAMILIES,
) -> Resolution:
    """Find out what the names of a model and of verifiers stand for; loads nothing.

    Args:
        model: name or checkpoint folder of a generator, or its address in a store, from
            which it is copied; "" for no generator.
        verifiers: names, ``NAME[@CHECKPOINT][:MODE]``; may be empty.
        random_weights: weights that are missing will be drawn.
        families: the table of generators.

    Raises:
        ValueError: a name is unknown (the nearest is suggested) or not well formed, or
            its weights are missing (what to fetch is said) or of another model.

    Example:
        >>> resolve("mini", ["mini_tv", "clap@tiny"]).drawn
        ('clap@tiny',)
    """
    return Resolution(
        resolve_model(model, random_weights, families) if model else None,
        tuple(resolve_verifier(name, random_weights) for name in verifiers),
        families,
    )


def resolve_model(
    name: str,
    random_weights: bool = False,
    families: Sequence[generators.Family] = generators.FAMILIES,
) -> Resolved:
    """Find out what the name of a generator stands for, see `resolve`."""
    info, path = find_model(name, families)
    if path is not None:
        return Resolved(name, Request(info.name, name), info, path, drawn=False)
    if info.random:
        return Resolved(name, Request(info.name), info, None, drawn=True)
    folder, drawn = _find_weights(info, random_weights)
    return Resolved(name, Request(info.name), info, folder, drawn)


def resolve_refiner(
    model: Resolved,
    random_weights: bool = False,
    families: Sequence[generators.Family] = generators.FAMILIES,
) -> Resolved:
    """Find out whose weights refine the candidates of a generator; maybe its own.

    Args:
        model: the generator that searches.
        random_weights: weights that are missing will be drawn.
        families: the table of generators.

    Raises:
        ValueError: the weights are missing.
    """
    (family,) = (each for each in families if each.name == model.info.name)
    if not family.refines_with:
        return model
    return resolve_model(family.refines_with, random_weights, families)


def find_model(
    name: str, families: Sequence[generators.Family]
) -> tuple[Info, Path | None]:
    """Find the record of a generator; where its weights usually lie is not looked at.

    Args:
        name: of the generator, or of a checkpoint folder, or an address.
        families: the table of generators.

    Returns:
        The record, and the folder of the checkpoint if that was named.

    Raises:
        ValueError: the name is unknown, or the checkpoint is no generator's.
    """
    known = generators.infos(families)
    if name not in [info.name for info in known]:
        path = local_checkpoint(name)
        if path is None:
            raise ValueError(f"model {name}: there is no checkpoint")
        if path.is_dir():
            with naming(path, name):
                return _info_of(path, known), path
        if len(path.parts) > 1:
            raise ValueError(f"model {name}: no such checkpoint folder")
    return find("model", name, known), None


def resolve_verifier(name: str, random_weights: bool = False) -> Resolved:
    """Find out what the name of a verifier stands for, see `resolve`."""
    request = parse(name)
    info = find("verifier", request.name, verifiers.infos())
    if request.name in verifiers.MINI and request[1:] != ("", "default"):
        raise ValueError(
            f"{request.name} has one checkpoint and one mode; say its name alone"
        )
    if request.checkpoint == TINY:
        return Resolved(name, request, info, None, drawn=True)
    if request.checkpoint and info.folder is not None:
        folder = local_checkpoint(request.checkpoint)
        if folder is None or not folder.is_dir():
            raise ValueError(
                f"checkpoint {request.checkpoint} of verifier {request.name} is no "
                "folder"
            )
        return Resolved(name, request, info, folder, drawn=False)
    found, drawn = _find_weights(info, random_weights)
    return Resolved(name, request, info, found, drawn)


def resolve_network(
    name: str, random_weights: bool = False, tiny: bool = False
) -> Resolved:
    """Find out where the weights of a network of metrics are; loads nothing.

    Args:
        name: of `catalogue.metrics`.
        random_weights: weights that are missing will be drawn.
        tiny: the reduced network is meant, whose weights are drawn.

    Raises:
        ValueError: the name is unknown, or its weights are missing.
    """
    info = find("network", name, metrics.infos())
    if tiny:
        return Resolved(name, Request(name, TINY), info, None, drawn=True)
    folder, drawn = _find_weights(info, random_weights)
    return Resolved(name, Request(name), info, folder, drawn)


def _find_weights(info: Info, random_weights: bool) -> tuple[Path | None, bool]:
    """Return the folder of the weights, and whether they are missing and drawn.

    Raises:
        ValueError: they are missing, and will not be drawn.
    """
    if info.present:
        return info.folder, False
    home = os.environ.get(HOME, "")
    if info.folder is not None and address_of(home) is not None:
        copy = local_checkpoint(f"{home}/{info.folder.name}")
        if copy is not None:
            return copy, False
    if not random_weights:
        raise ValueError(info.missing)
    return None, True


def _info_of(folder: Path, known: Sequence[Info]) -> Info:
    """Return the record of the generator that a checkpoint folder is of.

    Raises:
        ValueError: it is no checkpoint, or that of something else.
    """
    read = read_index if is_in_parts(folder) else read_manifest
    model = read(folder)["model"]
    infos = {info.name: info for info in known if not info.random}
    if model not in infos:
        raise ValueError(
            f"{folder} is a checkpoint of {model!r}, which is no generator "
            f"(there are: {', '.join(info.name for info in known)})"
        )
    return infos[model]

"""Originals as modules: installed packages, and checkouts under a folder."""

import importlib
import sys
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

from tools.ltx2_originals import NotThere
from tools.originals.stand_ins import StandIn, absent, registered


class Checkout(NamedTuple):
    """A repository whose source must lie in the folder of originals.

    Attributes:
        repository: owner and name on GitHub; the folder's name is the latter.
        commit: that the port follows.
        inside: folders of it that go on the import path.
    """

    repository: str
    commit: str
    inside: tuple[str, ...] = ("",)

    @property
    def name(self) -> str:
        """Return the name of its folder."""
        return self.repository.rpartition("/")[2]


CHECKOUTS = {
    each.name: each
    for each in (
        Checkout("JavisVerse/JavisDiT", "b505b37"),
        Checkout("facebookresearch/ImageBind", "53680b0"),
        Checkout(
            "v-iashin/Synchformer",
            "b66668a",
            ("", "model/modules/feat_extractors/visual"),
        ),
        Checkout("facebookresearch/audiobox-aesthetics", "2618e9d", ("src",)),
        Checkout("madebyollin/taehv", "1f14a56"),
        Checkout("AndreyGuzhov/AudioCLIP", "45327aa"),
        Checkout("hkchengrex/av-benchmark", "050a5cd"),
        Checkout("kkoutini/passt_hear21", "5f1cce6"),
    )
}


def package(name: str) -> Any:
    """Import an installed module.

    Raises:
        NotThere: it is not installed.
    """
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise NotThere(f"{name} is not installed ({error})") from error


def source(
    folder: Path | None,
    name: str,
    module: str,
    *,
    bare: Iterable[str] = (),
    stand_ins: Iterable[str] = (),
    own: Collection[str] = (),
) -> Any:
    """Import a module of a checkout.

    Args:
        folder: that holds checkouts; None where there is none.
        name: a key of `CHECKOUTS`.
        module: what is imported.
        bare: packages of the checkout whose own ``__init__`` is not run: it would
            import networks that are not wanted, with all that these need.
        stand_ins: modules that a `StandIn` takes the place of.
        own: its top-level modules whose names other checkouts have as well.

    Raises:
        NotThere: the checkout is not there, or needs what is not installed.
    """
    known = CHECKOUTS[name]
    if folder is None:
        raise NotThere(f"--originals FOLDER with {known.repository}")
    roots = [folder / known.name / inside for inside in known.inside]
    if not roots[0].is_dir():
        raise NotThere(f"{known.repository} at {known.commit} is not in {folder}")
    sys.path += [str(root) for root in roots if str(root) not in sys.path]
    packages = {each: ModuleType(each) for each in bare}
    for each, module_of in packages.items():
        module_of.__path__ = [str(roots[0].joinpath(*each.split(".")))]
    others = absent(package("torch")) | {each: StandIn(each) for each in stand_ins}
    try:
        with _ours(own, roots), registered(packages | others, bare=packages):
            return importlib.import_module(module)
    except ImportError as error:
        raise NotThere(f"{known.repository}: {error}") from error


@contextmanager
def _ours(names: Collection[str], roots: Iterable[Path]) -> Iterator[None]:
    """Let top-level modules of these names be those of a checkout, inside alone."""

    def taken() -> dict[str, ModuleType]:
        return {
            key: each
            for key, each in sys.modules.items()
            if key.partition(".")[0] in names
        }

    others, path = taken(), list(sys.path)
    for key in others:
        del sys.modules[key]
    if names:
        sys.path[:0] = map(str, roots)
    try:
        yield
    finally:
        for key in taken():
            del sys.modules[key]
        sys.modules.update(others)
        sys.path[:] = path

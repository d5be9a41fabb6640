"""Write a folder all at once: it appears complete, or not at all (host only)."""

import contextlib
import glob
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from avits_jax.files.locks import HeldError, lock

# How often, and after how many seconds, deleting is tried again.
_TRIES, _PAUSE = 50, 0.1


def _open_permissions(folder: Path) -> None:
    """Give a folder of ``mkdtemp`` (private) the permissions of an ordinary one."""
    mask = os.umask(0)
    os.umask(mask)
    folder.chmod(0o777 & ~mask)


def _put_in_place(new: Path, target: Path) -> None:
    """Move ``new`` to ``target``; a folder there is dropped once ``new`` stands."""
    if not target.exists():
        new.rename(target)
        return
    with _beside(target, "old") as old:
        target.rename(old / target.name)
        try:
            new.rename(target)
        except BaseException:
            (old / target.name).rename(target)
            raise


def _remove(folder: Path) -> None:
    """Delete a folder that threads of an interrupted writer may still write to."""
    for _ in range(_TRIES):
        shutil.rmtree(folder, ignore_errors=True)
        if not folder.exists():
            return
        time.sleep(_PAUSE)


@contextlib.contextmanager
def _beside(target: Path, kind: str) -> Iterator[Path]:
    """Yield an empty folder beside ``target``, locked; remove what is left of it."""
    folder, held = _make_locked(target, kind)
    try:
        yield folder
    finally:
        _remove(folder)
        if held is not None:
            os.close(held)


def _make_locked(target: Path, kind: str) -> tuple[Path, int | None]:
    while True:
        made = tempfile.mkdtemp(prefix=f".{target.name}.{kind}-", dir=target.parent)
        # Before it is locked, another process may take it for what a kill has left.
        with contextlib.suppress(HeldError, FileNotFoundError):
            held = lock(made)
            if os.path.exists(made):
                return Path(made), held
            if held is not None:
                os.close(held)


def _sweep(target: Path) -> None:
    """Remove what killed writers of ``target`` have left beside it.

    A writer that is at work holds the lock of its folder; without locks nobody knows.
    An old folder is kept where no new one took its place.
    """
    for kind in ("new", "old") if target.exists() else ("new",):
        for left in target.parent.glob(glob.escape(f".{target.name}.{kind}-") + "*"):
            with contextlib.suppress(OSError):
                held = lock(left)
                if held is not None:
                    shutil.rmtree(left, ignore_errors=True)
                    os.close(held)


@contextlib.contextmanager
def replacing_folder(target: str | Path) -> Iterator[Path]:
    """Yield an empty folder beside ``target`` that becomes ``target`` on success.

    Whatever ends the block early (an error, Ctrl-C) removes the new folder and leaves
    ``target`` as it was; what a killed process left is removed by the next one.
    Parents are made where they are missing. Callers decide whether a ``target`` that
    exists may be replaced.

    Args:
        target: the folder to write.

    Yields:
        The folder to fill, on the same file system as ``target``.

    Raises:
        OSError: the parent cannot be written.

    Example:
        >>> with replacing_folder("runs/first") as folder:
        ...     (folder / "results.json").write_text("{}")
    """
    target = Path(os.path.abspath(target))
    missing = [parent for parent in target.parents if not parent.exists()]
    target.parent.mkdir(parents=True, exist_ok=True)
    _sweep(target)
    try:
        with _beside(target, "new") as new:
            _open_permissions(new)
            yield new
            _put_in_place(new, target)
    finally:
        for parent in missing:
            with contextlib.suppress(OSError):  # it holds the target, or others' work
                parent.rmdir()

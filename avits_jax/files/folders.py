"""Write a folder all at once: it appears complete, or not at all (host only)."""

import contextlib
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

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
    old = Path(tempfile.mkdtemp(prefix=f".{target.name}.old-", dir=target.parent))
    target.rename(old / target.name)
    try:
        new.rename(target)
    except BaseException:
        (old / target.name).rename(target)
        raise
    finally:
        shutil.rmtree(old, ignore_errors=True)


def _remove(folder: Path) -> None:
    """Delete a folder that threads of an interrupted writer may still write to."""
    for _ in range(_TRIES):
        shutil.rmtree(folder, ignore_errors=True)
        if not folder.exists():
            return
        time.sleep(_PAUSE)


@contextlib.contextmanager
def replacing_folder(target: str | Path) -> Iterator[Path]:
    """Yield an empty folder beside ``target`` that becomes ``target`` on success.

    Whatever ends the block early (an error, Ctrl-C) removes the new folder and leaves
    ``target`` as it was. Parents are made where they are missing. Callers decide
    whether a ``target`` that exists may be replaced.

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
    new = Path(tempfile.mkdtemp(prefix=f".{target.name}.new-", dir=target.parent))
    try:
        _open_permissions(new)
        yield new
        _put_in_place(new, target)
    finally:
        _remove(new)
        for parent in missing:
            with contextlib.suppress(OSError):  # it holds the target, or others' work
                parent.rmdir()

"""Locks of files and folders that end with the process that holds them (host only)."""

import os


class HeldError(OSError):
    """Another process holds the lock."""


def lock(path: str | os.PathLike[str], *, create: bool = False) -> int | None:
    """Lock a file or folder for as long as this process keeps it open.

    Args:
        path: what to lock.
        create: make an empty file where there is none.

    Returns:
        A descriptor for `os.close`; None where a system or network file system has no
        locks.

    Raises:
        HeldError: another process holds it.
        OSError: it cannot be opened.
    """
    try:
        import fcntl
    except ImportError:
        if create:
            open(path, "ab").close()
        return None
    flags = os.O_RDWR | os.O_CREAT if create else os.O_RDONLY
    descriptor = os.open(path, flags, 0o666)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(descriptor)
        if isinstance(error, BlockingIOError):
            raise HeldError(f"another process holds {path}") from error
        return None
    return descriptor

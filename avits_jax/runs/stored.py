"""A run in a store: how it lies there, and the local copy that is worked on.

A store appends nothing, so that the two logs are one object for each prompt::

    records/000000003.jsonl   the line of records.jsonl that is row 3's
    times/000000003.jsonl     the line of times.jsonl
    .writer                   which process writes

All else is named as in a folder. Nobody can lock a store: the process that began last
writes, and one that began before stops ahead of its next object. What both have written
for a row is the same.
"""

import contextlib
import re
import shutil
import tempfile
import uuid
from collections.abc import Iterator
from os import PathLike
from pathlib import Path

from avits_jax.files.copies import empty_copy, upload_folder
from avits_jax.files.json_values import parse_json
from avits_jax.files.stores import Store, open_store
from avits_jax.runs.clips import CLIPS

RUN_FILE = "run.json"
_RESULTS = "results.json"
_LOGS = ("records", "times")
_WRITER = ".writer"
_CLIP = re.compile(rf"{CLIPS}/sample_\d+\.mp4")


class StoredRun:
    """A run in a store that this process writes to, through a local copy.

    In the copy a clip is an empty file: that it is there, and no more.

    Attributes:
        store: where the run is.
        folder: the copy.
    """

    def __init__(self, store: Store) -> None:
        """Make the copy of what is there.

        Raises:
            StoreError: the store cannot be reached, or refuses.
            OSError: the disk is full.
        """
        self.store = store
        self.folder = Path(tempfile.mkdtemp(prefix="avits-"))
        self._mine = uuid.uuid4().hex.encode()
        try:
            if store.exists(RUN_FILE):
                _fetch_run(store, self.folder, clips=False)
            else:
                for name in set(store.top_names()) - {CLIPS}:
                    (self.folder / name).touch()
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Delete the copy."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def claim(self) -> None:
        """Say that this process writes from now on."""
        self.store.write(_WRITER, self._mine)

    def is_mine(self) -> bool:
        """Tell whether no other process has begun to write, or deleted the run."""
        return self.store.read(_WRITER) == self._mine

    def put(self, *names: str) -> None:
        """Put files of the copy into the store, in their order."""
        for name in names:
            self.store.upload([(name, self.folder / name)])

    def put_clip(self, name: str) -> None:
        """Put a clip into the store; its place in the copy stays, its bytes do not."""
        self.put(f"{CLIPS}/{name}")
        (self.folder / CLIPS / name).write_bytes(b"")

    def put_line(self, log: str, row: int, line: bytes) -> None:
        """Write a row's line of a log.

        Args:
            log: name of the file that holds the lines in a folder.
            row: whose line it is.
            line: all of it.
        """
        self.store.write(_line_name(Path(log).stem, row), line)


def is_run(place: str | PathLike[str]) -> bool:
    """Tell whether a folder, or one in a store, is of ``avits run`` or ``merge``."""
    store = open_store(place)
    if store is None:
        return (Path(place) / RUN_FILE).is_file()
    return store.exists(RUN_FILE)


@contextlib.contextmanager
def local_run(place: str | PathLike[str], *, clips: bool = False) -> Iterator[Path]:
    """Yield a folder to read a run from: itself, or a copy of one in a store.

    Args:
        place: of ``avits run``, ``merge`` or ``generate``, finished or not.
        clips: copy the clips of a run of many prompts, too; else they are empty files.

    Yields:
        The folder. What is written to a copy is lost.

    Raises:
        ValueError: there is no run at that address.
        StoreError: the store cannot be reached, or refuses.

    Example:
        >>> with local_run("gs://bucket/run") as folder:
        ...     print(summarise(folder).counts)
    """
    store = open_store(place)
    if store is None:
        yield Path(place)
        return
    with empty_copy(store) as folder:
        if store.exists(RUN_FILE):
            _fetch_run(store, folder, clips=clips)
        elif store.exists(_RESULTS):
            store.download((name, folder / name) for name in store.names())
        else:
            raise ValueError(
                f"{store.address} holds neither {RUN_FILE} nor {_RESULTS}: not the "
                "folder of a run"
            )
        yield folder


@contextlib.contextmanager
def new_run(place: str | PathLike[str]) -> Iterator[Path]:
    """Yield the path of a run folder to make; upload it where it shall be in a store.

    Args:
        place: where the run shall be.

    Raises:
        ValueError: something is at that address.
        StoreError: the store cannot be reached, or refuses.
    """
    store = open_store(place)
    if store is None:
        yield Path(place)
        return
    if store.top_names():
        raise ValueError(f"{store.address} exists; name a new folder")
    with empty_copy(store) as copy:
        folder = copy / "run"
        yield folder
        _split_logs(folder)
        upload_folder(store, folder, last=RUN_FILE)


def _fetch_run(store: Store, folder: Path, *, clips: bool) -> None:
    names = store.names()
    for log in _LOGS:
        lines = store.read_all(name for name in names if name.startswith(f"{log}/"))
        with (folder / f"{log}.jsonl").open("wb") as file:
            file.writelines(lines)
    of_clips = [name for name in names if _CLIP.fullmatch(name)]
    (folder / CLIPS).mkdir()
    for name in of_clips:
        (folder / name).touch()
    wanted = [RUN_FILE, *(of_clips if clips else ())]
    store.download((name, folder / name) for name in wanted)


def _split_logs(folder: Path) -> None:
    """Lay the logs of a folder out as they lie in a store."""
    for log in _LOGS:
        path = folder / f"{log}.jsonl"
        (folder / log).mkdir()
        with path.open("rb") as file:
            for line in file:
                name = _line_name(log, parse_json(line)["row"])
                (folder / name).write_bytes(line)
        path.unlink()


def _line_name(log: str, row: int) -> str:
    return f"{log}/{row:09d}.jsonl"

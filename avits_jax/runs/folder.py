"""The folder of a run: made, locked, checked, resumed.

A run folder holds::

    run.json       the settings, what the run was made with, and of which prompts
    config.toml    the same settings, for --config
    clips/         sample_0000.mp4, ...: the chosen clip of every row that has one
    records.jsonl  one line a prompt, see `avits_jax.runs.records`
    times.jsonl    seconds that each prompt took; the one file that no rerun repeats
    report.html    the page; can be written again from the others

A prompt is done when its record is whole. Its clip is there before that, so a run that
is killed between the two makes the same clip again. Everything else replaces whole
files, so that no file is ever half there.
"""

import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from avits_jax.files.json_values import (
    OBJECT,
    TEXT,
    check_fields,
    list_of,
    parse_json,
    whole,
)
from avits_jax.files.locks import HeldError, lock
from avits_jax.files.stores import name_store, open_store
from avits_jax.media import replacing, weights_label, write_clip, write_json
from avits_jax.media.copying import copy_clip, link_clip
from avits_jax.runs import log
from avits_jax.runs.clips import CLIPS, clip_fault, clip_name, file_crc
from avits_jax.runs.records import (
    DONE,
    RECORDS,
    Record,
    fitting,
    read_records,
    to_entry,
)
from avits_jax.runs.stored import RUN_FILE, StoredRun, is_run
from avits_jax.runs.targets import RUN, check_same_settings, check_target
from avits_jax.runs.times import TIMES, append_time, to_time
from avits_jax.types import Media

FORMAT = 1
MERGED = "merged"
SCALE = "scale"
"""Setting of a run: how much larger its clips' pixels are drawn; see `write_clip`."""
_LOCK = ".lock"
_TEMPORARY = re.compile(r"\..+\.[0-9a-f]{12}\.tmp")
_NAMES = list_of(TEXT)
_FIELDS = {
    "settings": OBJECT,
    "plan": OBJECT,
    "verifiers": _NAMES,
    "judges": _NAMES,
    "state": list_of(OBJECT),
    "versions": OBJECT,
    "created": TEXT,
    "device": TEXT,
    "prompts": TEXT,
}
# What some runs have: labels, what was merged, how many rows the prompts have.
_MORE = {
    "random_weights": _NAMES,
    "notices": _NAMES,
    "runs": _NAMES,
    "learned": OBJECT,
    "rows": OBJECT,
}
_ROWS = {"count": whole(1), "digest": TEXT}


class LostFolderError(RuntimeError):
    """The folder was deleted, or made anew by another process, during the run."""


class Lost(NamedTuple):
    """A prompt that is done, but whose clip is missing or damaged.

    Attributes:
        record: of the prompt.
        state: bytes of the aggregator's state before it; None before the first.
    """

    record: Record
    state: bytes | None


def read_run(folder: str | os.PathLike[str]) -> dict[str, Any]:
    """Read and check run.json.

    Raises:
        ValueError: it is missing, damaged or of another format.
    """
    path = Path(folder) / RUN_FILE
    if not path.is_file():
        raise ValueError(f"{path} does not exist: not the folder of a run")
    try:
        made = parse_json(path.read_bytes())
    except ValueError as error:
        raise ValueError(f"{path} is damaged: {error}") from error
    if not isinstance(made, dict) or made.get("kind") not in (RUN, MERGED):
        raise ValueError(f"{path} is not of a run of many prompts")
    if made.get("format") != FORMAT:
        raise ValueError(
            f"{path} has format {made.get('format')!r}; this version reads {FORMAT}"
        )
    more = {name: kind for name, kind in _MORE.items() if name in made}
    try:
        check_fields(made, _FIELDS | more)
        if "rows" in made:
            check_fields(made["rows"], _ROWS, "rows: ")
    except ValueError as error:
        raise ValueError(f"{path} is damaged: it {error}") from error
    return made


class RunFolder:
    """A run folder that this process alone writes to.

    Use it as a context manager, or `close` it, to let others in.

    Attributes:
        path: the folder; of a run in a store, the copy that is worked on.
        made: the content of run.json.
        resumed: whether the folder was there before.
    """

    def __init__(self, path: str | os.PathLike[str], facts: Mapping[str, Any]) -> None:
        """Make the folder, or take up one that the same settings made.

        Args:
            path: the folder, here or in a store.
            facts: what run.json shall say: "settings" (which must agree with those of
                a folder that is there) and the other fields, see `read_run`.

        Raises:
            ValueError: the folder is of other settings or is damaged, holds something
                else, or another process is writing to it.
            OSError: it cannot be written.
        """
        store = open_store(path)
        self._stored = None if store is None else StoredRun(store)
        self.path = Path(path) if self._stored is None else self._stored.folder
        self._lock: int | None = None
        self.made: dict[str, Any] = {}
        try:
            self._begin(facts)
        except BaseException as error:
            self.__exit__(type(error), error)
            raise

    def __enter__(self) -> "RunFolder":
        return self

    def __exit__(
        self, kind: object, error: BaseException | None, *traceback: object
    ) -> None:
        if self._stored is not None and error is not None:
            name_store(error, self.path, self._stored.store.address)
        self.close()

    def close(self) -> None:
        """Let other processes write to the folder."""
        if self._lock is not None:
            os.close(self._lock)
        self._lock = None
        if self._stored is not None:
            self._stored.close()

    def records(self) -> Iterator[Record]:
        """Read the records so far, and look for their clips.

        Raises:
            ValueError: the records are damaged, or a clip is missing.
        """
        for record in read_records(self.path):
            clip = self._clip(record)
            if record.status == DONE and not clip.is_file():
                raise ValueError(
                    f"{clip} is missing, though its prompt is done; put it back, or "
                    f"cut {RECORDS} off before row {record.row} to go on from there"
                )
            yield record

    def take_up(self, lost: list[Lost]) -> Iterator[Record]:
        """Read the records so far, and check them and their clips.

        Args:
            lost: takes the prompts whose clip is missing or damaged.

        Raises:
            ValueError: the records are damaged, or are those of another run.
        """
        state = None
        for record in fitting(read_records(self.path), self.made, self.path):
            if record.status == DONE and self._clip_fault(record):
                lost.append(Lost(record, state))
            state = record.state
            yield record

    def write_clip(self, row: int, clip: Media, *, fps: float, sample_rate: int) -> int:
        """Write the chosen clip of a row; return the CRC-32 of its file.

        Raises:
            ValueError: the clip holds NaN.
            OSError: the disk is full.
            LostFolderError: the folder is gone, or another process's.
        """
        self.check_mine()
        path = self.path / CLIPS / clip_name(row)
        write_clip(
            path,
            clip.video,
            clip.audio,
            fps=fps,
            sample_rate=sample_rate,
            scale=self.made["settings"].get(SCALE),
            comment=weights_label(self.made.get("random_weights", [])),
        )
        return self._uploaded(path)

    def keep_clip(
        self, row: int, source: Path, *, link: bool = False, crc: int | None = None
    ) -> int:
        """Copy a clip that exists as the chosen one of a row; return its CRC-32.

        Args:
            row: of the prompt.
            source: the clip.
            link: link to it instead; it must be an .mp4.
            crc: what the CRC-32 must be; None takes any.

        Raises:
            ValueError: no .mp4 can hold it as it is, or it is another clip.
            OSError: the disk is full, or has no links.
            LostFolderError: the folder is gone, or another process's.
        """
        self.check_mine()
        path = self.path / CLIPS / clip_name(row)
        if link:
            link_clip(source, path)
        else:
            copy_clip(source, path)
        if crc not in (None, file_crc(path)):
            path.unlink()
            raise ValueError(f"{source} has changed since it was chosen")
        return self._uploaded(path)

    def append(self, record: Record, seconds: float) -> None:
        """Write the record that makes a prompt done.

        Raises:
            OSError: the disk is full; the prompt is then not done.
            LostFolderError: the folder is gone, or another process's.
        """
        self.check_mine()
        log.append(self.path / RECORDS, to_entry(record), sync=True)
        append_time(self.path, record.row, seconds)
        if self._stored is not None:
            time = log.encode(to_time(record.row, seconds))
            self._stored.put_line(TIMES, record.row, time)
            self._put_line(record)  # last: it makes the prompt done

    def put_record(self, changed: Record) -> None:
        """Write a record in the place of the one of its row.

        Raises:
            OSError: the disk is full; the records are then as they were.
        """
        with replacing(self.path / RECORDS) as new:
            for record in read_records(self.path):
                kept = changed if record.row == changed.row else record
                log.append(new, to_entry(kept), sync=False)
        self._put_line(changed)

    def put_rows(self, rows: Mapping[str, Any]) -> None:
        """Write to run.json of which rows of which prompts the run is.

        Raises:
            OSError: the disk is full.
        """
        if self.made.get("rows") != rows:
            self.made = self.made | {"rows": dict(rows)}
            self._write_made()

    def publish(self, *names: str) -> None:
        """Put files written to `path` into the store, if the run is in one, in order.

        Raises:
            OSError: the store cannot be reached, or refuses.
        """
        if self._stored is not None:
            self._stored.put(*names)

    def check_mine(self) -> None:
        """Check that nobody has deleted the folder or made it anew.

        Raises:
            LostFolderError: the folder is gone, or another process's.
        """
        mine = self._stored is None or self._stored.is_mine()
        if _identity(self.path / _LOCK) != self._identity or not mine:
            raise LostFolderError(
                f"{self.path} was deleted, or made anew by another process, while this "
                "one wrote to it; start the command again"
            )

    def _clip(self, record: Record) -> Path:
        return self.path / CLIPS / clip_name(record.row)

    def _clip_fault(self, record: Record) -> str | None:
        clip = self._clip(record)
        if self._stored is None:
            return clip_fault(clip, record.clip_crc)
        # A store compares checksums of its own, and keeps no half objects.
        return None if clip.is_file() else "is missing"

    def _uploaded(self, clip: Path) -> int:
        """Return the CRC-32 of a clip, which is uploaded if the run is in a store."""
        crc = file_crc(clip)
        if self._stored is not None:
            self._stored.put_clip(clip.name)
        return crc

    def _put_line(self, record: Record) -> None:
        if self._stored is not None:
            line = log.encode(to_entry(record))
            self._stored.put_line(RECORDS, record.row, line)

    def _write_made(self) -> None:
        write_json(self.path / RUN_FILE, self.made)
        self.publish(RUN_FILE)

    def _begin(self, facts: Mapping[str, Any]) -> None:
        check_target(self.path)
        self.resumed = is_run(self.path)
        self.path.mkdir(parents=True, exist_ok=True)
        self._lock = _lock(self.path)
        mine = self.path / _LOCK if self._lock is None else self._lock
        self._identity = _identity(mine)
        self._prepare(facts)

    def _prepare(self, facts: Mapping[str, Any]) -> None:
        if self.resumed:
            self.made = read_run(self.path)
            check_same_settings(self.path, self.made, facts)
        for folder in (self.path, self.path / CLIPS):
            _remove_temporaries(folder)
        (self.path / CLIPS).mkdir(exist_ok=True)
        for name in (RECORDS, TIMES):
            log.repair(self.path / name)
        if self._stored is not None:
            self._stored.claim()
        if not self.resumed:
            self.made = {"format": FORMAT, "kind": RUN, **facts}
            self._write_made()


def _remove_temporaries(folder: Path) -> None:
    """Remove what a killed process had begun; the lock says that it is gone."""
    if folder.is_dir():
        for path in folder.iterdir():
            if _TEMPORARY.fullmatch(path.name):
                path.unlink()


def _lock(folder: Path) -> int | None:
    """Keep other processes out for as long as the descriptor returned is open."""
    try:
        return lock(folder / _LOCK, create=True)
    except HeldError as error:
        raise ValueError(f"another process is writing to {folder}") from error


def _identity(lock_file: Path | int) -> tuple[int, int] | None:
    """Return what tells the lock of a folder from that of one made anew."""
    try:
        found = os.stat(lock_file)
    except OSError:
        return None
    return found.st_dev, found.st_ino

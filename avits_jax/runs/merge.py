"""Put the shards of a run together."""

import heapq
import os
import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from avits_jax.files.folders import replacing_folder
from avits_jax.media import write_json
from avits_jax.runs import log
from avits_jax.runs.clips import CLIPS, clip_fault, clip_name
from avits_jax.runs.folder import FORMAT, MERGED, RUN, read_run
from avits_jax.runs.records import DONE, RECORDS, Record, read_records, to_entry
from avits_jax.runs.stored import RUN_FILE
from avits_jax.runs.times import append_time, read_times
from avits_jax.runs.whole import check_whole

_OF_ONE_SHARD = ("shard",)


class Merged(NamedTuple):
    """What was merged.

    Attributes:
        num_prompts: prompts in all.
        num_failed: those of them that are not done.
    """

    num_prompts: int
    num_failed: int


def read_shards(folders: Sequence[str | os.PathLike[str]]) -> list[dict[str, Any]]:
    """Read run.json of folders that shall be merged.

    Raises:
        ValueError: fewer than two folders, one twice, one that is no run, runs of
            different settings or prompts, or runs that are not the whole together.
    """
    paths = [Path(folder) for folder in folders]
    if len(paths) < 2:
        raise ValueError(f"runs must name at least two folders, got {len(paths)}")
    places = [path.resolve() for path in paths]
    if len(set(places)) < len(places):
        raise ValueError(f"runs must differ, got {', '.join(map(str, paths))}")
    made = [read_run(path) for path in paths]
    for path, other in zip(paths, made, strict=True):
        if other["kind"] != RUN:
            raise ValueError(f"{path} is itself merged; merge the runs it was made of")
        if other["settings"].get("start"):
            raise ValueError(
                f"{path} began with the state of another run (--start), which a merged "
                "state would count once for each shard"
            )
        _check_alike(paths[0], made[0], path, other)
    check_whole(paths, made)
    return made


def last_states(folders: Sequence[str | os.PathLike[str]]) -> list[bytes]:
    """Return the aggregator's state at the end of each run that has a record.

    Raises:
        ValueError: no run has one, or one is damaged.
    """
    found = []
    for folder in folders:
        state = None
        for record in read_records(folder):
            state = record.state
        if state is not None:
            found.append(state)
    if not found:
        raise ValueError("none of these runs has done a prompt yet")
    return found


def merge_runs(
    folders: Sequence[str | os.PathLike[str]],
    out: str | os.PathLike[str],
    learned: dict[str, Any],
    finish: Callable[[Path], Any],
    names: Sequence[str] | None = None,
) -> Merged:
    """Write a folder with the records and clips of all shards, in row order.

    Clips are hard links where the file system has them. The folder appears when it is
    complete.

    Args:
        folders: the shards.
        out: the folder to write; must not exist, or be empty.
        learned: the merged state, as JSON values.
        finish: writes what else belongs into the folder (the report).
        names: of the shards, for run.json; by default their folders.

    Raises:
        ValueError: see `read_shards`; or a clip is missing or damaged.
        OSError: the disk is full.
    """
    made = read_shards(folders)
    out = Path(out)
    if out.exists() and not (out.is_dir() and not any(out.iterdir())):
        raise ValueError(f"{out} exists; name a new folder")
    with replacing_folder(out) as folder:
        (folder / CLIPS).mkdir()
        counts = _write_records(folders, folder)
        _write_times(folders, folder)
        settings = {k: v for k, v in made[0]["settings"].items() if k != "shard"}
        runs = [str(shard) for shard in names or folders]
        merged = {"kind": MERGED, "settings": settings, "runs": runs}
        write_json(
            folder / RUN_FILE,
            made[0] | {"format": FORMAT} | merged | {"learned": learned},
        )
        finish(folder)
    return counts


def _check_alike(
    first: Path, a: dict[str, Any], second: Path, b: dict[str, Any]
) -> None:
    old, new = a["settings"], b["settings"]
    for key in dict.fromkeys([*old, *new]):
        if key not in _OF_ONE_SHARD and old.get(key) != new.get(key):
            raise ValueError(
                f"{first} and {second} are of different settings: {key} is "
                f"{old.get(key)!r} and {new.get(key)!r}"
            )
    if a["state"] != b["state"]:
        raise ValueError(
            f"{first} and {second} hold aggregator states of different layouts: "
            f"{a['state']} and {b['state']}"
        )
    rows = a.get("rows"), b.get("rows")
    if None not in rows and rows[0] != rows[1]:
        raise ValueError(
            f"{first} and {second} are of different prompts: {_prompts(a)} and "
            f"{_prompts(b)}"
        )


def _prompts(made: dict[str, Any]) -> str:
    rows = made["rows"]
    return f"{rows['count']} rows of {made['prompts']} ({rows['digest'][:8]})"


def _write_records(folders: Sequence[str | os.PathLike[str]], target: Path) -> Merged:
    total = failed = 0
    for folder, record in _in_row_order(folders):
        log.append(target / RECORDS, to_entry(record), sync=False)
        total += 1
        if record.status != DONE:
            failed += 1
            continue
        clip = folder / CLIPS / clip_name(record.row)
        if fault := clip_fault(clip, record.clip_crc):
            raise ValueError(
                f"{clip} {fault}, though its record is there; the command of that run "
                "makes it again"
            )
        _link(clip, target / CLIPS)
    return Merged(total, failed)


def _in_row_order(
    folders: Iterable[str | os.PathLike[str]],
) -> Iterator[tuple[Path, Record]]:
    """Yield all records by row."""

    def of(folder: Path) -> Iterator[tuple[Path, Record]]:
        return ((folder, record) for record in read_records(folder))

    streams = [of(Path(folder)) for folder in folders]
    return heapq.merge(*streams, key=lambda item: item[1].row)


def _write_times(folders: Iterable[str | os.PathLike[str]], target: Path) -> None:
    for folder in folders:
        for row, seconds in read_times(folder).items():
            append_time(target, row, seconds)


def _link(clip: Path, folder: Path) -> None:
    try:
        os.link(clip, folder / clip.name)
    except OSError:
        shutil.copyfile(clip, folder / clip.name)

"""Seconds that each prompt of a run took: the one file that no result needs."""

import contextlib
import os
from pathlib import Path
from typing import Any

from avits_jax.files.json_values import NUMBER, Kind, check_fields, whole
from avits_jax.runs import log

TIMES = "times.jsonl"
_FIELDS = {
    "row": whole(),
    "seconds": Kind("seconds", lambda v: NUMBER.accepts(v) and v >= 0),
}


def append_time(folder: Path, row: int, seconds: float) -> None:
    """Append the seconds of a row.

    Raises:
        OSError: the disk is full.
    """
    log.append(folder / TIMES, to_time(row, seconds), sync=False)


def to_time(row: int, seconds: float) -> dict[str, Any]:
    """Return the seconds of a row as JSON values."""
    return {"row": row, "seconds": round(seconds, 4)}


def read_times(folder: str | os.PathLike[str]) -> dict[int, float]:
    """Return the seconds of each row as far as they are known.

    A damaged line is left out; of a row that stands twice, the last line counts.
    """
    times: dict[int, float] = {}
    for entry in log.read(Path(folder) / TIMES, pass_over_damage=True):
        with contextlib.suppress(ValueError):
            check_fields(entry, _FIELDS)
            times[entry["row"]] = entry["seconds"]
    return times

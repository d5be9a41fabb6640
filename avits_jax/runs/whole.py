"""Whether runs together have done every row of a prompts file, each once."""

import itertools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Int

from avits_jax.runs.records import read_records
from avits_jax.runs.rows import Shard, parse_shard

_NAMED = 5  # shards that a message names


class _Part(NamedTuple):
    """A run, the shard that it is, and the rows that it has done."""

    path: Path
    shard: Shard
    rows: Int[np.ndarray, " R"]

    def expected(self, total: int) -> int:
        """Return how many of the first ``total`` rows the shard holds."""
        return max(0, -((self.shard.index - 1 - total) // self.shard.count))


def check_whole(paths: Sequence[Path], made: Sequence[Mapping[str, Any]]) -> None:
    """Check that runs hold every row of their prompts, and none twice.

    How many rows there are is said by run.json; where a run of an older version does
    not, the last row that is there counts as the last of all.

    Args:
        paths: run folders.
        made: the run.json of each.

    Raises:
        ValueError: names what is missing or stands twice.
    """
    parts = [_part(path, each) for path, each in zip(paths, made, strict=True)]
    rows = np.sort(np.concatenate([part.rows for part in parts]))
    twice = rows[1:][np.diff(rows) == 0]
    if twice.size:
        first, second, *_ = (part.path for part in parts if twice[0] in part.rows)
        raise ValueError(
            f"{first} and {second} both hold row {twice[0]}: no shards of one run"
        )
    known = [each.get("rows", {}).get("count", 0) for each in made]
    total = max([*known, *(rows[-1:] + 1).tolist()])
    if rows.size < total:
        absent = [*_unfinished(parts, total), *_others(parts, rows, total)]
        raise ValueError(f"these runs are not the whole: {'; '.join(absent)}")


def _part(path: Path, made: Mapping[str, Any]) -> _Part:
    text = str(made["settings"].get("shard") or "1/1")
    shard = parse_shard(text)
    rows = np.array([record.row for record in read_records(path)], np.int64)
    strange = rows[rows % shard.count != shard.index - 1]
    if strange.size:
        raise ValueError(
            f"{path} holds row {strange[0]}, which is none of shard {text}"
        )
    return _Part(path, shard, rows)


def _unfinished(parts: Sequence[_Part], total: int) -> list[str]:
    """Say which runs have rows to do."""
    said = []
    for part in parts:
        first, step = part.shard.index - 1, part.shard.count
        wanted = part.expected(total)
        if part.rows.size < wanted:
            passed = int((part.rows == first + step * np.arange(part.rows.size)).sum())
            said.append(
                f"{part.path} has done {part.rows.size} of its {wanted} rows, not row "
                f"{first + step * passed}"
            )
    return said


def _others(
    parts: Sequence[_Part], rows: Int[np.ndarray, " R"], total: int
) -> list[str]:
    """Say which shards are not there at all."""
    if sum(part.expected(total) for part in parts) >= total:
        return []
    counts = {part.shard.count for part in parts}
    if len(counts) > 1:  # they need not be shards of one size
        passed = int((rows == np.arange(rows.size)).sum())
        return [f"none of them has row {passed}"]
    count = counts.pop()
    given = {part.shard.index for part in parts}
    absent = (i for i in range(1, min(count, total) + 1) if i not in given)
    return [f"shard {i}/{count} is missing" for i in itertools.islice(absent, _NAMED)]

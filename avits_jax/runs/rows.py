"""Which rows of a prompts file a run works on, streamed."""

import hashlib
import os
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

from avits_jax.media import Prompt, read_prompts
from avits_jax.runs.records import Record


@dataclass(frozen=True, slots=True)
class Shard:
    """One of `count` equal parts of the rows: every `count`-th from row `index` - 1.

    Attributes:
        index: from 1.
        count: number of shards.
    """

    index: int
    count: int

    def holds(self, row: int) -> bool:
        """Tell whether a row is of this shard."""
        return row % self.count == self.index - 1


WHOLE = Shard(1, 1)


def parse_shard(text: str) -> Shard:
    """Read ``I/N``.

    Raises:
        ValueError: it is not two numbers with 1 <= I <= N.
    """
    match = re.fullmatch(r"(\d+)/(\d+)", text)
    shard = Shard(*map(int, match.groups())) if match else Shard(0, 0)
    if not 1 <= shard.index <= shard.count:
        raise ValueError(f"shard must be I/N with I from 1 to N, got {text!r}")
    return shard


def shard_prompts(
    path: str | os.PathLike[str],
    *,
    column: str = "text",
    limit: int | None = None,
    shard: Shard = WHOLE,
) -> Iterator[Prompt]:
    """Read the prompts of a shard in row order, one in memory at a time.

    Args:
        path: prompts file.
        column: see `read_prompts`.
        limit: leave out all rows from this one on.
        shard: which part of them.

    Raises:
        ValueError: see `read_prompts`.
    """
    prompts = read_prompts(path, column=column, limit=limit)
    return (prompt for prompt in prompts if shard.holds(prompt.index))


class Survey(NamedTuple):
    """What a prompts file holds.

    Attributes:
        total: rows in all.
        own: those of the shard.
        digest: SHA-256 of all texts; tells one file from another.
    """

    total: int
    own: int
    digest: str


def survey_prompts(
    path: str | os.PathLike[str],
    *,
    column: str = "text",
    limit: int | None = None,
    shard: Shard = WHOLE,
) -> Survey:
    """Read, and so check, a whole prompts file.

    Args:
        path: prompts file.
        column: see `read_prompts`.
        limit: leave out all rows from this one on.
        shard: which part of them is worked on.

    Raises:
        ValueError: see `read_prompts`.
    """
    digest = hashlib.sha256()
    total = own = 0
    for prompt in read_prompts(path, column=column, limit=limit):
        total += 1
        own += shard.holds(prompt.index)
        # No UTF-8 holds the byte that ends a text here.
        digest.update(prompt.text.encode("utf-8", "surrogatepass") + b"\xff")
    return Survey(total, own, digest.hexdigest())


class Resumed(NamedTuple):
    """Where a run stands.

    Attributes:
        prompts: those that have no record yet.
        counts: how many have one, by status.
        state: bytes of the aggregator's state after the last of them; None before the
            first.
    """

    prompts: Iterator[Prompt]
    counts: Counter[str]
    state: bytes | None


def resume(prompts: Iterator[Prompt], records: Iterable[Record], name: str) -> Resumed:
    """Pass over the prompts that have a record.

    Args:
        prompts: all prompts of the run.
        records: of those that were worked on, in order.
        name: the prompts file, for errors.

    Raises:
        ValueError: the file does not hold the prompts that were worked on.
    """
    counts: Counter[str] = Counter()
    state = None
    for record in records:
        prompt = next(prompts, None)
        if prompt is None:
            raise ValueError(
                f"{name} ends before row {record.row}, which the run has done: not the "
                "prompts of this run, or a smaller --limit"
            )
        if (prompt.index, prompt.text) != (record.row, record.prompt):
            raise ValueError(
                f"{name} is not the prompts file of this run: row {prompt.index} is "
                f"{_short(prompt.text)} there, the run did row {record.row}, "
                f"{_short(record.prompt)}"
            )
        counts[record.status] += 1
        state = record.state
    return Resumed(prompts, counts, state)


def _short(text: str) -> str:
    return repr(text if len(text) <= 60 else text[:57] + "...")

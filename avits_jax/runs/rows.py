"""Which rows of a prompts file a run works on, streamed."""

import hashlib
import os
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from avits_jax.media import Prompt, picture_mark, read_image, read_prompts
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
    image_column: str = "",
) -> Iterator[Prompt]:
    """Read the prompts of a shard in row order, one in memory at a time.

    Args:
        path: prompts file.
        column: see `read_prompts`.
        limit: leave out all rows from this one on.
        shard: which part of them.
        image_column: see `read_prompts`.

    Raises:
        ValueError: see `read_prompts`.
    """
    prompts = read_prompts(path, column=column, limit=limit, image_column=image_column)
    return (prompt for prompt in prompts if shard.holds(prompt.index))


class Survey(NamedTuple):
    """What a prompts file holds.

    Attributes:
        total: rows in all.
        own: those of the shard.
        digest: SHA-256 of all texts and pictures; tells one file from another.
        pictures: rows that have one.
    """

    total: int
    own: int
    digest: str
    pictures: int = 0


def survey_prompts(
    path: str | os.PathLike[str],
    *,
    column: str = "text",
    limit: int | None = None,
    shard: Shard = WHOLE,
    image_column: str = "",
) -> Survey:
    """Read, and so check, a whole prompts file and its pictures.

    Args:
        path: prompts file.
        column: see `read_prompts`.
        limit: leave out all rows from this one on.
        shard: which part of them is worked on.
        image_column: see `read_prompts`.

    Raises:
        ValueError: see `read_prompts`; or a picture is missing or is none.
    """
    digest = hashlib.sha256()
    total = own = pictures = 0
    marks: dict[Path, str] = {}
    for prompt in read_prompts(
        path, column=column, limit=limit, image_column=image_column
    ):
        total += 1
        own += shard.holds(prompt.index)
        # No UTF-8 holds the byte that ends a text here.
        digest.update(prompt.text.encode("utf-8", "surrogatepass") + b"\xff")
        if prompt.image is not None:
            pictures += 1
            if prompt.image not in marks:
                marks[prompt.image] = _checked(path, prompt.index, prompt.image)
            digest.update(marks[prompt.image].encode() + b"\xff")
    return Survey(total, own, digest.hexdigest(), pictures)


def _checked(path: str | os.PathLike[str], index: int, image: Path) -> str:
    """Return what tells a picture from others, if it is one."""
    try:
        read_image(image)
        return picture_mark(image)
    except ValueError as error:
        raise ValueError(f"{path}, row {index} from 0: {error}") from error


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
        ValueError: the file does not hold the prompts, or their pictures, that were
            worked on.
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
        image = None if prompt.image is None else picture_mark(prompt.image)
        if image != record.image:
            raise ValueError(
                f"{name} is not the prompts file of this run: the picture of row "
                f"{prompt.index} is {image or 'none'} now, the run did it with "
                f"{record.image or 'none'}"
            )
        counts[record.status] += 1
        state = record.state
    return Resumed(prompts, counts, state)


def _short(text: str) -> str:
    return repr(text if len(text) <= 60 else text[:57] + "...")

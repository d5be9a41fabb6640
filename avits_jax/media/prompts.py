"""Prompt files, streamed row by row: lines, tables, JSON and parquet."""

import csv
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import chain, islice, repeat
from pathlib import Path

from avits_jax.files.copies import local_file
from avits_jax.files.stores import NoObjectError, address_of, check_local, naming
from avits_jax.media.prompt_json import json_rows, jsonl_rows
from avits_jax.media.prompt_parquet import parquet_rows
from avits_jax.media.prompt_rows import (
    check_encoding,
    open_text,
    require_one_column,
)


@dataclass(frozen=True, slots=True)
class Prompt:
    """One prompt of a file.

    Attributes:
        index: row number from 0, which names the clip (``sample_0000.mp4``).
        text: the prompt without surrounding blanks; ``""`` where the row has none.
        image: picture that its clips begin with; None where the row has none.
    """

    index: int
    text: str
    image: Path | None = None


def read_prompts(
    path: str | os.PathLike[str],
    *,
    column: str = "text",
    limit: int | None = None,
    image_column: str = "",
) -> Iterator[Prompt]:
    """Read the prompts of a file in row order, one row in memory at a time.

    A .txt file holds one prompt a line and its blank lines are skipped; a .csv or .tsv
    file has a header row; a .jsonl file has one object a line. A .json file may, too,
    or holds a list of objects, columns as lists, or ``{"rows": [{"row": {...}}]}`` as
    Hugging Face's dataset viewer answers; those are read whole. A .parquet file has a
    column of strings (extra ``parquet``). A row without text is kept with the text
    ``""``, so that later rows keep their numbers.

    Args:
        path: a UTF-8 file with one of these endings, here or in a store.
        column: the column (.csv, .tsv, .parquet) or key (.jsonl, .json) that holds the
            prompt.
        limit: read only that many rows.
        image_column: column or key, which may be missing, of pictures, paths relative
            to the file; "" reads none. Whether they are there is not looked at.

    Raises:
        ValueError: the file is missing, empty, of another kind, not UTF-8, malformed,
            lacks ``column`` or has it twice, or a row has more fields than the header;
            or pyarrow is not installed. The line, or the row from 0, is named. Found
            in the first row, it is raised by the call itself; later rows raise while
            they are read.
    """
    address = address_of(path)
    if address is not None:
        return _read_copy(address, column, limit, image_column)
    path = Path(path)
    reader = _READERS.get(path.suffix.lower())
    if reader is None:
        raise ValueError(f"{path} is not a prompts file: use {', '.join(_READERS)}")
    if limit is not None and limit < 1:
        raise ValueError(f"limit must be at least 1, got {limit}")
    if not path.is_file():
        kind = "is a folder" if path.is_dir() else "does not exist"
        raise ValueError(f"prompts file {path} {kind}")
    images = reader(path, image_column, False) if image_column else ()
    rows = (
        Prompt(index, text.strip(), _picture(path, index, image))
        for index, (text, image) in enumerate(
            zip(reader(path, column, True), chain(images, repeat("")), strict=False)
        )
    )
    first = next(rows, None)
    if first is None:
        raise ValueError(f"prompts file {path} is empty")
    return islice(chain([first], rows), limit)


def count_prompts(path: str | os.PathLike[str], *, column: str = "text") -> int:
    """Count the rows of a prompts file; reads, and so checks, all of it.

    Raises:
        ValueError: as ``read_prompts``.
    """
    return sum(1 for _ in read_prompts(path, column=column))


def _read_copy(
    address: str, column: str, limit: int | None, image_column: str
) -> Iterator[Prompt]:
    """Read the prompts of a file in a store; errors name its address."""
    try:
        copy = local_file(address)
    except NoObjectError:
        raise ValueError(f"prompts file {address} does not exist") from None
    with naming(copy, address):
        rows = read_prompts(copy, column=column, limit=limit, image_column=image_column)
    return _rows_of(rows, copy, address)


def _rows_of(rows: Iterator[Prompt], copy: Path, address: str) -> Iterator[Prompt]:
    with naming(copy, address):
        for row in rows:
            if row.image is not None and row.image.is_relative_to(copy.parent):
                raise ValueError(
                    f"{address}, row {row.index} from 0: its picture must be on this "
                    "machine; give its whole path"
                )
            yield row


def _picture(path: Path, index: int, text: str) -> Path | None:
    """Return where the picture of a row is; None where the row has none."""
    check_local(text.strip(), f"{path}, row {index} from 0: a picture")
    return path.parent / text.strip() if text.strip() else None


def _text_rows(path: Path, column: str, needed: bool) -> Iterator[str]:
    if not needed:
        return  # plain text has no other column
    with open_text(path) as file:
        for number, line in enumerate(file, start=1):
            check_encoding(path, f"line {number}", line)
            if line.strip():
                yield line


def _table_rows(path: Path, column: str, needed: bool, separator: str) -> Iterator[str]:
    rows = _table_lists(path, separator)
    _, names = next(rows, (0, []))
    if not names or not (needed or column in names):
        return
    place = require_one_column(path, column, names)
    for number, row in rows:
        if len(row) > len(names):
            held = "tab" if separator == "\t" else "comma"
            raise ValueError(
                f"{path}, line {number}: {len(row)} fields, the header has "
                f"{len(names)}; a text that holds a {held} needs quotes"
            )
        yield row[place] if place < len(row) else ""


def _table_lists(path: Path, separator: str) -> Iterator[tuple[int, list[str]]]:
    """Yield rows that are not empty, and the line in which each begins."""
    with open_text(path, newline="") as file:
        rows = csv.reader(file, delimiter=separator, strict=True)
        try:
            while True:
                number = rows.line_num + 1
                row = next(rows, None)
                if row is None:
                    return
                check_encoding(path, f"line {number}", "".join(row))
                if row:
                    yield number, row
        except csv.Error as error:
            raise ValueError(
                f"{path}, line {number}: malformed {path.suffix[1:].upper()}: {error}"
            ) from error


# By ending: of a path, a column and whether it must be there, its texts. All but plain
# text have columns, so that they may hold clips as well.
_READERS: dict[str, Callable[[Path, str, bool], Iterator[str]]] = {
    ".txt": _text_rows,
    ".csv": partial(_table_rows, separator=","),
    ".tsv": partial(_table_rows, separator="\t"),
    ".jsonl": jsonl_rows,
    ".json": json_rows,
    ".parquet": parquet_rows,
}
ENDINGS = tuple(_READERS)
TABLES = tuple(ending for ending in ENDINGS if ending != ".txt")

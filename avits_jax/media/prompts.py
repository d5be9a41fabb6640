"""Prompt files: .txt, .csv and .jsonl, streamed row by row."""

import csv
import json
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path
from typing import Any


@dataclass(frozen=True, slots=True)
class Prompt:
    """One prompt of a file.

    Attributes:
        index: row number from 0, which names the clip (``sample_0000.mp4``).
        text: the prompt without surrounding blanks; ``""`` where the row has none.
    """

    index: int
    text: str


def read_prompts(
    path: str | os.PathLike[str], *, column: str = "text", limit: int | None = None
) -> Iterator[Prompt]:
    """Read the prompts of a file in row order, one row in memory at a time.

    A .txt file holds one prompt a line and its blank lines are skipped; a .csv file has
    a header row; a .jsonl file has one object a line. A row without text is kept with
    the text ``""``, so that later rows keep their numbers.

    Args:
        path: a UTF-8 file ending in .txt, .csv or .jsonl.
        column: the column (.csv) or key (.jsonl) that holds the prompt.
        limit: read only that many rows.

    Raises:
        ValueError: the file is missing, empty, of another kind, not UTF-8, malformed,
            or lacks ``column``. Found in the first row, it is raised by the call
            itself; later rows raise while they are read.
    """
    path = Path(path)
    reader = _READERS.get(path.suffix.lower())
    if reader is None:
        raise ValueError(f"{path} is not a prompts file: use {', '.join(_READERS)}")
    if limit is not None and limit < 1:
        raise ValueError(f"limit must be at least 1, got {limit}")
    if not path.is_file():
        kind = "is a folder" if path.is_dir() else "does not exist"
        raise ValueError(f"prompts file {path} {kind}")
    rows = _with_clear_errors(path, reader(path, column))
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


def _with_clear_errors(path: Path, texts: Iterator[str]) -> Iterator[Prompt]:
    try:
        for index, text in enumerate(texts):
            yield Prompt(index, text.strip())
    except UnicodeDecodeError as error:
        raise ValueError(f"prompts file {path} is not UTF-8: {error.reason}") from error


def _text_rows(path: Path, column: str) -> Iterator[str]:
    del column  # plain text has none
    with path.open(encoding="utf-8-sig") as file:
        yield from (line for line in file if line.strip())


def _csv_rows(path: Path, column: str) -> Iterator[str]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        rows = csv.DictReader(file, strict=True)
        try:
            _require_column(path, column, rows.fieldnames)
            for row in rows:
                yield row[column] or ""
        except csv.Error as error:
            place = f"{path}, line {rows.line_num}"
            raise ValueError(f"{place}: malformed CSV: {error}") from error


def _jsonl_rows(path: Path, column: str) -> Iterator[str]:
    with path.open(encoding="utf-8-sig") as file:
        first = True
        for number, line in enumerate(file, start=1):
            if not line.strip():
                continue
            row = _json_object(path, number, line)
            if first:
                _require_column(path, column, row)
                first = False
            text = row.get(column)
            if text is not None and not isinstance(text, str):
                raise ValueError(f"{path}, line {number}: {column!r} is not a string")
            yield text or ""


def _json_object(path: Path, number: int, line: str) -> dict[str, Any]:
    try:
        row = json.loads(line)
    except json.JSONDecodeError as error:
        raise ValueError(f"{path}, line {number}: not JSON: {error.msg}") from error
    if not isinstance(row, dict):
        raise ValueError(f"{path}, line {number}: expected one JSON object a line")
    return row


def _require_column(path: Path, column: str, columns: Any) -> None:
    if columns is not None and column not in columns:
        raise ValueError(
            f"{path} has no column {column!r}; it has: {', '.join(map(str, columns))}"
        )


_READERS: dict[str, Callable[[Path, str], Iterator[str]]] = {
    ".txt": _text_rows,
    ".csv": _csv_rows,
    ".jsonl": _jsonl_rows,
}

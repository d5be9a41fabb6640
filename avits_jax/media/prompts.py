"""Prompt files: .txt, .csv and .jsonl, streamed row by row."""

import csv
import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path
from typing import Any, TextIO

from avits_jax.files.copies import local_file
from avits_jax.files.json_values import parse_json
from avits_jax.files.stores import NoObjectError, address_of, naming


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
        path: a UTF-8 file ending in .txt, .csv or .jsonl, here or in a store.
        column: the column (.csv) or key (.jsonl) that holds the prompt.
        limit: read only that many rows.

    Raises:
        ValueError: the file is missing, empty, of another kind, not UTF-8, malformed,
            lacks ``column`` or has it twice, or a row has more fields than the header.
            The line is named. Found in the first row, it is raised by the call itself;
            later rows raise while they are read.
    """
    address = address_of(path)
    if address is not None:
        return _read_copy(address, column, limit)
    path = Path(path)
    reader = _READERS.get(path.suffix.lower())
    if reader is None:
        raise ValueError(f"{path} is not a prompts file: use {', '.join(_READERS)}")
    if limit is not None and limit < 1:
        raise ValueError(f"limit must be at least 1, got {limit}")
    if not path.is_file():
        kind = "is a folder" if path.is_dir() else "does not exist"
        raise ValueError(f"prompts file {path} {kind}")
    texts = enumerate(reader(path, column))
    rows = (Prompt(index, text.strip()) for index, text in texts)
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


def _read_copy(address: str, column: str, limit: int | None) -> Iterator[Prompt]:
    """Read the prompts of a file in a store; errors name its address."""
    try:
        copy = local_file(address)
    except NoObjectError:
        raise ValueError(f"prompts file {address} does not exist") from None
    with naming(copy, address):
        rows = read_prompts(copy, column=column, limit=limit)
    return _rows_of(rows, copy, address)


def _rows_of(rows: Iterator[Prompt], copy: Path, address: str) -> Iterator[Prompt]:
    with naming(copy, address):
        yield from rows


def _text_rows(path: Path, column: str) -> Iterator[str]:
    del column  # plain text has none
    with _opened(path) as file:
        for number, line in enumerate(file, start=1):
            _check_encoding(path, number, line)
            if line.strip():
                yield line


def _csv_rows(path: Path, column: str) -> Iterator[str]:
    rows = _csv_lists(path)
    _, names = next(rows, (0, []))
    if not names:
        return
    _require_column(path, column, names)
    if names.count(column) > 1:
        raise ValueError(f"{path} has {names.count(column)} columns {column!r}")
    place = names.index(column)
    for number, row in rows:
        if len(row) > len(names):
            raise ValueError(
                f"{path}, line {number}: {len(row)} fields, the header has "
                f"{len(names)}; a text that holds a comma needs quotes"
            )
        yield row[place] if place < len(row) else ""


def _csv_lists(path: Path) -> Iterator[tuple[int, list[str]]]:
    """Yield rows that are not empty, and the line in which each begins."""
    with _opened(path, newline="") as file:
        rows = csv.reader(file, strict=True)
        try:
            while True:
                number = rows.line_num + 1
                row = next(rows, None)
                if row is None:
                    return
                _check_encoding(path, number, "".join(row))
                if row:
                    yield number, row
        except csv.Error as error:
            raise ValueError(
                f"{path}, line {number}: malformed CSV: {error}"
            ) from error


def _jsonl_rows(path: Path, column: str) -> Iterator[str]:
    with _opened(path) as file:
        first = True
        for number, line in enumerate(file, start=1):
            _check_encoding(path, number, line)
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
        row = parse_json(line)
    except ValueError as error:
        why = getattr(error, "msg", error)
        raise ValueError(f"{path}, line {number}: not JSON: {why}") from error
    if not isinstance(row, dict):
        raise ValueError(f"{path}, line {number}: expected one JSON object a line")
    return row


def _opened(path: Path, newline: str | None = None) -> TextIO:
    # Bytes that are no UTF-8 become surrogates, so that their line can be named.
    return path.open(encoding="utf-8-sig", errors="surrogateescape", newline=newline)


def _check_encoding(path: Path, number: int, text: str) -> None:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        raise ValueError(f"prompts file {path} is not UTF-8: line {number}") from None


def _require_column(path: Path, column: str, columns: Iterable[str]) -> None:
    if column not in columns:
        names = ", ".join(" ".join(name.split()) for name in columns)
        raise ValueError(f"{path} has no column {column!r}; it has: {names}")


_READERS: dict[str, Callable[[Path, str], Iterator[str]]] = {
    ".txt": _text_rows,
    ".csv": _csv_rows,
    ".jsonl": _jsonl_rows,
}

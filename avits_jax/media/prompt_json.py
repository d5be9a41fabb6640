"""Prompts of .jsonl, a row at a time, and of .json in the forms that datasets take.

Hugging Face's ``Dataset.to_json`` writes JSON lines into .json unless ``lines=False``,
which gives a list of rows; its other orients are pandas': columns, or ``columns`` and
``data``. The server of its dataset viewer answers ``{"rows": [{"row": {...}}]}``.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from itertools import chain, islice
from pathlib import Path
from typing import Any

from avits_jax.files.json_values import parse_json
from avits_jax.media.prompt_rows import (
    check_encoding,
    open_text,
    require_column,
    text_of,
)

_FORMS = (
    "expected JSON lines, a list of objects, columns as lists, or a list under "
    '"rows" or "data"'
)


def jsonl_rows(path: Path, column: str, needed: bool = True) -> Iterator[str]:
    """Yield the texts of a file of one object a line, one line in memory at a time.

    Args:
        path: the file.
        column: key of the text.
        needed: whether the first row must have it.

    Raises:
        ValueError: a line is not UTF-8, no object or holds no text, or the first one
            lacks the key.
    """
    with open_text(path) as file:
        yield from _texts_of_lines(path, column, needed, _full_lines(path, file))


def json_rows(path: Path, column: str, needed: bool = True) -> Iterator[str]:
    """Yield the texts of a .json file: JSON lines as above, or one value as a whole.

    Only JSON lines are streamed. A list may hold strings, which are the column "text".

    Args:
        path: the file.
        column: key of the text.
        needed: whether the first row must have it.

    Raises:
        ValueError: as `jsonl_rows`; or the file has another form, columns of several
            lengths, or a text that the dataset viewer's server has cut short.
    """
    with open_text(path) as file:
        lines = _full_lines(path, file)
        start = list(islice(lines, 2))
        if len(start) == 2 and _looks_whole(start[0][1]):
            yield from _texts_of_lines(path, column, needed, chain(start, lines))
            return
    if start:
        yield from _texts_of_value(path, column, needed, _read_whole(path))


def _full_lines(path: Path, file: Iterable[str]) -> Iterator[tuple[int, str]]:
    """Yield the lines that are not blank, with their numbers."""
    for number, line in enumerate(file, start=1):
        check_encoding(path, f"line {number}", line)
        if line.strip():
            yield number, line


def _looks_whole(line: str) -> bool:
    """Tell whether a line is an object of its own, if perhaps a faulty one."""
    text = line.strip()
    return text.startswith("{") and text.endswith("}")


def _texts_of_lines(
    path: Path, column: str, needed: bool, lines: Iterator[tuple[int, str]]
) -> Iterator[str]:
    first = needed
    for number, line in lines:
        place = f"line {number}"
        row = _object(path, place, line)
        if first:
            require_column(path, column, row)
            first = False
        yield text_of(path, place, column, row.get(column))


def _object(path: Path, place: str, text: str) -> dict[str, Any]:
    row = _parsed(text, f"{path}, {place}")
    if not isinstance(row, dict):
        raise ValueError(f"{path}, {place}: expected one JSON object a line")
    return row


def _read_whole(path: Path) -> Any:
    with open_text(path) as file:
        return _parsed(file.read(), str(path), several_lines=True)


def _parsed(text: str, where: str, several_lines: bool = False) -> Any:
    try:
        return parse_json(text)
    except ValueError as error:
        if several_lines and isinstance(error, json.JSONDecodeError):
            where = f"{where}, line {error.lineno}"
        why = getattr(error, "msg", error)
        raise ValueError(f"{where}: not JSON: {why}") from error


def _texts_of_value(path: Path, column: str, needed: bool, value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        if isinstance(value.get(column), list | dict):
            yield from _texts_of_columns(path, column, value)
            return
        value = _listed(path, value)
    if not isinstance(value, list):
        raise ValueError(f"{path}: {_FORMS}")
    for number, entry in enumerate(value):
        place = f"row {number}"
        row = _row(path, place, column, entry)
        if needed and number == 0:
            require_column(path, column, row)
        yield text_of(path, place, column, row.get(column))


def _texts_of_columns(
    path: Path, column: str, columns: Mapping[str, Any]
) -> Iterator[str]:
    """Yield a column; pandas writes columns as objects, too, with the rows' names."""
    sizes = {n: len(v) for n, v in columns.items() if isinstance(v, list | dict)}
    other = next((name for name in sizes if sizes[name] != sizes[column]), None)
    if other is not None:
        raise ValueError(
            f"{path}: column {column!r} has {sizes[column]} rows, {other!r} has "
            f"{sizes[other]}"
        )
    values = columns[column]
    values = values.values() if isinstance(values, dict) else values
    for number, value in enumerate(values):
        yield text_of(path, f"row {number}", column, value)


def _listed(path: Path, value: dict[str, Any]) -> Any:
    """Return the rows that an object lists, or the object as the only row."""
    names = value.get("columns")
    for key in ("rows", "data"):
        rows = value.get(key)
        if isinstance(rows, list) and isinstance(names, list):
            return [_named(path, f"row {i}", names, row) for i, row in enumerate(rows)]
        if isinstance(rows, list):
            return rows
    return [value]


def _named(path: Path, place: str, names: list[Any], row: Any) -> Any:
    """Return a row of pandas' orient "split" as an object."""
    if not isinstance(row, list) or len(row) != len(names):
        raise ValueError(f"{path}, {place}: expected a list of {len(names)} values")
    found = {str(name): value for name, value in zip(names, row, strict=True)}
    if len(found) < len(names):
        raise ValueError(f'{path}: a name stands twice in "columns"')
    return found


def _row(path: Path, place: str, column: str, entry: Any) -> dict[str, Any]:
    """Return a row as an object: its own, or that of the dataset viewer's server."""
    if isinstance(entry, str):
        return {"text": entry}
    if not isinstance(entry, dict):
        raise ValueError(f"{path}, {place}: expected an object")
    if column not in entry and isinstance(entry.get("row"), dict):
        cut = entry.get("truncated_cells")
        if isinstance(cut, list) and column in cut:
            raise ValueError(
                f"{path}, {place}: {column!r} was cut short by the server "
                "(truncated_cells); take the whole file of the dataset"
            )
        return entry["row"]
    return entry

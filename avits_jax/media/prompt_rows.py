"""What all readers of prompt files share: opening, and checks that name the place."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any, TextIO


def open_text(path: Path, newline: str | None = None) -> TextIO:
    """Open a UTF-8 file, with or without a byte order mark.

    Args:
        path: the file.
        newline: as of `open`.

    Returns:
        A file in which bytes that are no UTF-8 are surrogates, so that their line can
        be named.
    """
    return path.open(encoding="utf-8-sig", errors="surrogateescape", newline=newline)


def check_encoding(path: Path, place: str, text: str) -> None:
    """Check that what was read was UTF-8.

    Args:
        path: the file, for the message.
        place: the line or row, for the message.
        text: what was read there, see `open_text`.

    Raises:
        ValueError: it was not.
    """
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        raise ValueError(f"prompts file {path} is not UTF-8: {place}") from None


def text_of(path: Path, place: str, column: str, value: Any) -> str:
    """Return a value as a prompt; nothing, which a row may hold, is ``""``.

    Raises:
        ValueError: it is no string.
    """
    if value is not None and not isinstance(value, str):
        raise ValueError(f"{path}, {place}: {column!r} is not a string")
    return value or ""


def require_column(path: Path, column: str, columns: Iterable[str]) -> None:
    """Check that a file has a column.

    Raises:
        ValueError: it does not; those that it has are named.
    """
    if column not in columns:
        names = ", ".join(" ".join(name.split()) for name in columns)
        raise ValueError(f"{path} has no column {column!r}; it has: {names}")


def require_one_column(path: Path, column: str, columns: list[str]) -> int:
    """Return the place of a column of a table.

    Raises:
        ValueError: the table has no such column, or more than one.
    """
    require_column(path, column, columns)
    if columns.count(column) > 1:
        raise ValueError(f"{path} has {columns.count(column)} columns {column!r}")
    return columns.index(column)

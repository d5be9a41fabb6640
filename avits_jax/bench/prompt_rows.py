"""The prompt files of the benchmarks, whole rows of them (.csv and .tsv)."""

import csv
import os
from pathlib import Path
from typing import NamedTuple

_DELIMITERS = {".csv": ",", ".tsv": "\t"}


class PromptRows(NamedTuple):
    """A file of prompts as it stands.

    Attributes:
        columns: names, in the order of the file.
        rows: cells by name.
    """

    columns: tuple[str, ...]
    rows: list[dict[str, str]]


def read_rows(
    path: str | os.PathLike[str],
    needed: tuple[str, ...] = (),
    limit: int | None = None,
) -> PromptRows:
    """Read all columns of a benchmark's prompts.

    Args:
        path: JavisBench's .csv or VGGSound's .tsv, UTF-8 with a header.
        needed: columns that must be there.
        limit: read only that many rows.

    Raises:
        ValueError: the file is missing or malformed, has no rows, or lacks a column.
    """
    path = Path(path)
    delimiter = _DELIMITERS.get(path.suffix.lower())
    if delimiter is None:
        raise ValueError(f"{path} is no table of prompts: use .csv or .tsv")
    if not path.is_file():
        raise ValueError(f"table of prompts {path} does not exist")
    if limit is not None and limit < 1:
        raise ValueError(f"limit must be at least 1, got {limit}")
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            table = csv.reader(file, delimiter=delimiter, strict=True)
            columns = tuple(next(table, ()))
            _check_columns(path, columns, needed)
            rows = _rows(path, table, columns, limit)
    except UnicodeDecodeError as error:
        raise ValueError(f"table of prompts {path} is not UTF-8") from error
    except csv.Error as error:
        raise ValueError(f"table of prompts {path} is malformed: {error}") from error
    if not rows:
        raise ValueError(f"table of prompts {path} has no rows")
    return PromptRows(columns, rows)


def _check_columns(
    path: Path, columns: tuple[str, ...], needed: tuple[str, ...]
) -> None:
    for name in columns:
        if columns.count(name) > 1:
            raise ValueError(f"{path} has {columns.count(name)} columns {name!r}")
    for name in needed:
        if name not in columns:
            raise ValueError(
                f"{path} has no column {name!r}; it has: {', '.join(columns)}"
            )


def _rows(path: Path, table, columns, limit: int | None) -> list[dict[str, str]]:
    rows: list[dict[str, str]] = []
    for cells in table:
        if not cells:
            continue
        if len(rows) == limit:
            break
        if len(cells) != len(columns):
            raise ValueError(
                f"{path}, line {table.line_num}: {len(cells)} fields, the header has "
                f"{len(columns)}"
            )
        rows.append(dict(zip(columns, cells, strict=True)))
    return rows

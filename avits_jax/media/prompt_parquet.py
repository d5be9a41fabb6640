"""Prompts of .parquet, a batch of rows at a time, through pyarrow."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from avits_jax.media.prompt_rows import require_one_column

if TYPE_CHECKING:
    import pyarrow

_ROWS = 256  # in memory at a time
_READ = 1 << 20  # bytes of a column read at a time


def parquet_rows(path: Path, column: str, needed: bool = True) -> Iterator[str]:
    """Yield the texts of one column; the others are not read.

    Args:
        path: the file.
        column: its name, of strings.
        needed: whether it must be there; without it, there are no texts.

    Raises:
        ValueError: pyarrow is missing, the file is damaged, the column is missing,
            there more than once or not of strings, or a text is not UTF-8.
    """
    number = 0
    for values in _arrays(path, column, needed):
        for value in values:
            yield _text(path, number, value)
            number += 1


def _arrays(path: Path, column: str, needed: bool) -> Iterator["pyarrow.Array"]:
    """Yield parts of the column, with pyarrow's errors as ValueErrors."""
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError as error:
        raise ValueError(
            f"{path}: .parquet is read by pyarrow, which is not installed: "
            "pip install pyarrow (or this package with its extra, parquet)"
        ) from error
    # Arrow's own errors are of many kinds, and of the system's where bytes are missing.
    faults = (pyarrow.ArrowException, OSError, UnicodeDecodeError, KeyError)
    try:
        with parquet.ParquetFile(path) as file:
            schema = file.schema_arrow
        if not needed and column not in schema.names:
            return
        place = require_one_column(path, column, schema.names)
        _check_type(path, column, schema.field(place).type)
        with parquet.ParquetFile(
            path,
            read_dictionary=[column],  # a text that is repeated is held once
            buffer_size=_READ,
            page_checksum_verification=True,
        ) as file:
            for batch in file.iter_batches(_ROWS, columns=[column]):
                yield batch.column(batch.schema.get_field_index(column))
    except faults as error:
        raise ValueError(f"{path}: damaged parquet: {_line(error)}") from error


def _check_type(path: Path, column: str, kind: Any) -> None:
    from pyarrow import types

    inner = kind.value_type if types.is_dictionary(kind) else kind
    accepted = (
        types.is_string,
        types.is_large_string,
        types.is_string_view,
        types.is_null,
    )
    if not any(accepts(inner) for accepts in accepted):
        raise ValueError(f"{path}: column {column!r} is not of strings but of {kind}")


def _text(path: Path, number: int, value: Any) -> str:
    try:
        return value.as_py() or ""
    except UnicodeDecodeError:
        raise ValueError(f"prompts file {path} is not UTF-8: row {number}") from None
    except IndexError as error:  # of a text in the column's dictionary
        raise ValueError(f"{path}, row {number}: damaged parquet: {error}") from error


def _line(error: BaseException) -> str:
    """Return an error in one line."""
    return " ".join(str(error).split()) or type(error).__name__

"""Tables no wider than the terminal: what does not fit goes into further tables."""

import os
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from rich import box
from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

from avits_jax.cli.errors import printable

_APART = 2  # columns of the terminal between two of a table, and at its edges


class Column(NamedTuple):
    """A column of a table.

    Attributes:
        heading: one line, or two.
        cells: one for each row.
        is_text: stands at the left, and is broken where it is too long.
    """

    heading: str
    cells: Sequence[str]
    is_text: bool = False


def console_for(file_width: int, markup: bool = True) -> Console:
    """Return standard output, as wide as the terminal or as COLUMNS says.

    Args:
        file_width: columns of a file or pipe, which has no width of its own.
        markup: obey rich's marks, such as [bold], in what is printed.
    """
    console = Console(highlight=False, markup=markup)
    if console.is_terminal or os.environ.get("COLUMNS"):
        return console
    return Console(highlight=False, markup=markup, width=file_width)


def print_columns(
    console: Console,
    first: Sequence[Column],
    others: Sequence[Column],
    styles: Sequence[str | None] = (),
) -> None:
    """Print a table, or several that share their first columns.

    Args:
        console: where.
        first: columns that name a row.
        others: columns that may go into a further table.
        styles: of the rows.
    """
    for part in _parts(console.width, first, others):
        table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
        columns = [*first, *part]
        for column in columns:
            table.add_column(
                _text(column.heading),
                justify="left" if column.is_text else "right",
                overflow="fold",
                no_wrap=not column.is_text,
            )
        for place in range(len(first[0].cells)):
            cells = (_text(column.cells[place]) for column in columns)
            table.add_row(*cells, style=styles[place] if styles else None)
        console.print(table)


def _text(text: str) -> Text:
    """Return a text, whose marks and terminal codes are shown, not obeyed."""
    return Text("\n".join(map(printable, text.split("\n"))))


def _parts(
    width: int, first: Sequence[Column], others: Sequence[Column]
) -> Iterator[Sequence[Column]]:
    """Yield others in parts, each of which fits beside the first columns."""
    room = width - _APART - sum(_width(column, width) for column in first)
    part: list[Column] = []
    used = 0
    for column in others:
        needed = _width(column, width)
        if part and used + needed > room:
            yield part
            part, used = [], 0
        part.append(column)
        used += needed
    yield part


def _width(column: Column, most: int) -> int:
    texts = [*column.heading.split("\n"), *column.cells]
    natural = max(map(cell_len, texts))
    # Text is broken: a third of the terminal is enough of it.
    return _APART + (min(natural, most // 3) if column.is_text else natural)

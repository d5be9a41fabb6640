"""Text in the width of the terminal, for help and errors; cheap to import."""

import shutil
import textwrap

_WIDEST = 120  # lines longer than this are hard to read
_NARROWEST = 40


def terminal_width() -> int:
    """Return the columns that text may take: those of COLUMNS or of the terminal."""
    return max(_NARROWEST, min(shutil.get_terminal_size().columns, _WIDEST))


def wrapped(text: str, width: int, first: str = "", further: str = "") -> str:
    """Return a text in lines of a width; flags and paths are never broken.

    Args:
        text: of one paragraph; blanks and line breaks count as one blank.
        width: columns.
        first: begins the first line.
        further: begins all others.
    """
    return textwrap.fill(
        " ".join(text.split()),
        width,
        initial_indent=first,
        subsequent_indent=further,
        break_long_words=False,
        break_on_hyphens=False,
    )


def paragraphs(text: str, width: int) -> str:
    """Return paragraphs wrapped; lines that are set in from the margin stay lines."""
    parts = []
    for part in text.split("\n\n"):
        lines = part.splitlines()
        if any(line.startswith(" ") for line in lines):
            parts.append("\n".join(_as_line(line, width) for line in lines))
        else:
            parts.append(wrapped(part, width))
    return "\n\n".join(parts)


def _as_line(line: str, width: int) -> str:
    margin = " " * (len(line) - len(line.lstrip()))
    return line if len(line) <= width else wrapped(line, width, margin, margin + "  ")


def entry(name: str, text: str, place: int, width: int) -> str:
    """Return a name and its text beside it, or below it where the name is long.

    Args:
        name: with its margin.
        text: of one paragraph.
        place: column at which the text begins.
        width: columns.
    """
    further = " " * place
    if len(name) > place - 2:
        return f"{name}\n{wrapped(text, width, further, further)}"
    return wrapped(text, width, f"{name:<{place}}", further)


def message(text: str, on_terminal: bool) -> str:
    """Return a message in the lines of a terminal; a file gets it in one line."""
    return wrapped(text, terminal_width(), further="  ") if on_terminal else text

"""What goes wrong at the command line, said in one line, what to do last."""

import contextlib
from collections.abc import Iterable, Iterator

from avits_jax.catalogue.records import nearest

BAD_INPUT = 2
FAILED = 1
SOME_FAILED = 3
INTERRUPTED = 130


_LONGEST = 2000  # characters of a message


def printable(text: str) -> str:
    r"""Return a text in which a terminal finds nothing to obey: codes as ``\x1b``.

    Args:
        text: of a file that anyone may have written; a very long one is cut.
    """
    if len(text) > _LONGEST:
        text = f"{text[:_LONGEST]}..."
    return "".join(c if c.isprintable() else _escaped(c) for c in text)


def _escaped(character: str) -> str:
    return character.encode("unicode_escape").decode("ascii")


class CliError(Exception):
    """An error for the person at the keyboard.

    Attributes:
        status: exit status; 2 for bad input, 1 for work that failed.
    """

    def __init__(self, message: str, status: int = BAD_INPUT) -> None:
        super().__init__(printable(" ".join(message.split())))
        self.status = status


def status_of(total: int, failed: int) -> int:
    """Return the exit status of work of which some, or all, failed."""
    if not failed:
        return 0
    return SOME_FAILED if failed < total else FAILED


class TooLargeError(CliError):
    """What is asked for does not fit into memory.

    Attributes:
        share: how much of what it works in would fit, as far as that is known.
    """

    def __init__(
        self, message: str, status: int = BAD_INPUT, share: float = 1.0
    ) -> None:
        super().__init__(message, status)
        self.share = share


def check_known(kind: str, name: str, accepted: Iterable[str]) -> None:
    """Raise CliError unless ``name`` is accepted; suggest the nearest.

    Args:
        kind: what is named, for the message ("model").
        name: the name given.
        accepted: the names there are.
    """
    names = sorted(accepted)
    if name not in names:
        raise CliError(
            f"unknown {kind} {_short(name)!r} (there are: {', '.join(names)})"
            f"{nearest(name, names)}"
        )


@contextlib.contextmanager
def as_cli_error(
    prefix: str = "",
    kinds: tuple[type[Exception], ...] = (ValueError, TypeError, OverflowError),
) -> Iterator[None]:
    """Turn an error of the library, of one of these kinds, into a CliError."""
    try:
        yield
    except kinds as error:
        raise CliError(f"{prefix}{error}") from error


def as_refusal() -> contextlib.AbstractContextManager[None]:
    """Turn a verifier's or model's refusal, a ValueError, into a CliError."""
    return as_cli_error(kinds=(ValueError,))


def _short(text: str) -> str:
    return text if len(text) <= 60 else text[:57] + "..."

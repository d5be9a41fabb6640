"""Progress of a run of many prompts on standard error."""

import contextlib
import time
from collections.abc import Callable, Iterator

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from avits_jax.cli.errors import printable
from avits_jax.runs import Record

_QUIET = 20.0  # seconds between lines where no bar can be drawn
_NAMED = 3  # failures that are told one by one

Advance = Callable[[Record], None]


@contextlib.contextmanager
def prompt_bar(
    total: int, done: int, failed: int, quiet: bool = False
) -> Iterator[Advance]:
    """Show how many prompts are done, how many failed, and the time left.

    On a terminal this is a bar; elsewhere a line now and then, and one for the last.

    Args:
        total: prompts of the run.
        done: those that an earlier session did.
        failed: those of them that failed.
        quiet: say nothing (another host does).

    Yields:
        A function to call with every record.
    """
    console = Console(stderr=True, quiet=quiet)
    bar = Progress(
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
        console=console,
        transient=True,
        disable=not console.is_terminal,
    )
    tally = _Tally(total, done, failed)
    with bar:
        task = bar.add_task("Compiling", total=total, completed=done)

        def advance(record: Record) -> None:
            tally.add(record)
            if record.status != "done" and tally.new_failures <= _NAMED:
                note(tally.failure(record), console)
            bar.update(task, advance=1, description=tally.title())
            if not console.is_terminal and tally.due():
                note(tally.line(), console)

        yield advance


class _Tally:
    """Counts of a session and what can be said of them."""

    def __init__(self, total: int, done: int, failed: int) -> None:
        self.total, self.done, self.failed = total, done, failed
        self.new = self.new_failures = 0
        # Compilation belongs to the first prompt: the pace is measured from its end.
        self.first = self.said = time.monotonic()

    def add(self, record: Record) -> None:
        self.new += 1
        self.done += 1
        if self.new == 1:
            self.first = self.said = time.monotonic()
        if record.status != "done":
            self.failed += 1
            self.new_failures += 1

    def title(self) -> str:
        return f"Prompts, {self.failed} failed" if self.failed else "Prompts"

    def failure(self, record: Record) -> str:
        rest = " (further ones are in the report)"
        more = rest if self.new_failures == _NAMED else ""
        return f"row {record.row} {record.status}: {record.reason}{more}"

    def due(self) -> bool:
        if self.done < self.total and time.monotonic() - self.said < _QUIET:
            return False
        self.said = time.monotonic()
        return True

    def line(self) -> str:
        text = f"{self.done} of {self.total} prompts"
        if self.failed:
            text += f", {self.failed} failed"
        if self.new > 1 and self.done < self.total:
            pace = (time.monotonic() - self.first) / (self.new - 1)
            text += f", {_duration(pace * (self.total - self.done))} left"
        return text


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}"


def note(text: str, console: Console | None = None) -> None:
    """Say something on standard error, above a bar if there is one.

    A terminal shows it in lines of its width, a file gets one line.
    """
    console = console or Console(stderr=True)
    in_lines = console.is_terminal
    console.print(
        printable(text), highlight=False, markup=False, soft_wrap=not in_lines
    )

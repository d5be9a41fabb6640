"""Say on standard error what is being done and how long it took."""

import contextlib
import time
from collections.abc import Callable, Iterator

from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)


@contextlib.contextmanager
def stage(
    title: str, done: str = "", total: int | None = None, *, in_bytes: bool = False
) -> Iterator["Stage"]:
    """Show a spinner with elapsed time, or a bar, while the block runs.

    Args:
        title: what is being done.
        done: said afterwards, with the seconds; "" says nothing.
        total: number of units for a bar that `Stage.advance` moves; None spins.
        in_bytes: the units are bytes.
    """
    console = Console(stderr=True)
    columns = [SpinnerColumn(), TextColumn("{task.description}")]
    if total is not None:
        columns.append(BarColumn())
        amounts = [DownloadColumn(), TimeRemainingColumn()]
        columns += amounts if in_bytes else [MofNCompleteColumn()]
    columns.append(TimeElapsedColumn())
    started = time.perf_counter()
    with Progress(
        *columns, console=console, transient=True, disable=not console.is_terminal
    ) as bar:
        task = bar.add_task(title, total=total)
        current = Stage(lambda count: bar.advance(task, count), started)
        yield current
    if done:
        console.print(f"{done} in {current.seconds():.1f} s", highlight=False)


class Stage:
    """A stage under way."""

    def __init__(self, advance: Callable[[int], None], started: float) -> None:
        self.advance = advance
        self._started = started

    def seconds(self) -> float:
        """Return the seconds since the stage began."""
        return time.perf_counter() - self._started

"""What a host says, kept in a file of its own."""

import contextlib
import io
import re
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TextIO

import jax

from avits_jax.runs.facts import device, versions

# What moves a terminal's cursor or colours its text.
_CODES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


@contextlib.contextmanager
def host_log(folder: Path | None) -> Iterator[None]:
    """Write what goes to standard error to ``host-NNN.log``, too, with the time (UTC).

    A host that starts again adds to its file. Must come after the hosts have joined.

    Args:
        folder: of the logs of all hosts, made where it is missing; None writes none.

    Raises:
        OSError: the file cannot be written.
    """
    if folder is None:
        yield
        return
    folder.mkdir(parents=True, exist_ok=True)
    host, count = jax.process_index(), jax.process_count()
    with (folder / f"host-{host:03d}.log").open("a", encoding="utf-8") as file:
        said = _Timed(sys.stderr, file)
        said.keep(f"host {host} of {count}, {device()}, {versions()}")
        with contextlib.redirect_stderr(said):
            try:
                yield
            except BaseException as error:
                said.keep(f"ended by {type(error).__name__}: {error}")
                raise
        said.keep("done")


class _Timed(io.TextIOBase):
    """Passes text on, and keeps its lines with the time."""

    def __init__(self, stream: Any, file: TextIO) -> None:
        self._stream, self._file, self._begun = stream, file, ""

    def write(self, text: str) -> int:
        """Pass text on; keep the lines that it ends."""
        *lines, self._begun = (self._begun + text).split("\n")
        for line in lines:
            # A bar is drawn over itself: what stands last is what it says.
            last = _CODES.sub("", line).rstrip("\r").rpartition("\r")[2]
            if last.strip():
                self.keep(last)
        return self._stream.write(text)

    def keep(self, line: str) -> None:
        """Keep a line."""
        now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        self._file.write(f"{now} {line}\n")
        self._file.flush()

    def flush(self) -> None:
        """Pass on what the stream has buffered; lines are kept at once."""
        self._stream.flush()

    def isatty(self) -> bool:
        """Tell whether the stream is a terminal."""
        return self._stream.isatty()

    def fileno(self) -> int:
        """Return the stream's descriptor."""
        return self._stream.fileno()

    @property
    def encoding(self) -> str:  # type: ignore[override]
        """Return the stream's encoding."""
        return self._stream.encoding

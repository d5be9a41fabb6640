"""A file of JSON objects, one a line, that only grows and survives any interruption.

Every line ends in the CRC-32 of what stands before it, as the object's last member::

    {"row":0,"best":2,"crc":"9ae0daaf"}

A process that is killed while it appends leaves a line without its newline: such a torn
tail was never finished, so it is not read, and it is cut off before the next append. A
whole line with a wrong CRC is damage that came later, and is never passed over.
"""

import json
import os
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from avits_jax.files.json_values import parse_json

_CRC = ',"crc":"'
_END = '"}'
_CRC_LENGTH = len(_CRC) + 8 + len(_END)


def encode(entry: dict[str, Any]) -> bytes:
    """Return the line of an entry, its checksum and newline included."""
    text = json.dumps(entry, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    # A lone surrogate is no UTF-8; it is written as JSON escapes it.
    body = text[:-1].encode("utf-8", "backslashreplace")
    return body + f"{_CRC}{zlib.crc32(body):08x}{_END}\n".encode()


def append(path: str | os.PathLike[str], entry: dict[str, Any], *, sync: bool) -> None:
    """Append one entry: all of it, or nothing.

    Args:
        path: the log; made where it is missing.
        entry: JSON values, at least one, none named "crc".
        sync: wait until it is on the disk, so that a power cut keeps it.

    Raises:
        OSError: the disk is full or the file cannot be written; the log is then as it
            was before.
    """
    line = encode(entry)
    with open(path, "ab", buffering=0) as file:
        before = file.seek(0, os.SEEK_END)
        try:
            _write_all(file.fileno(), line)
            if sync:
                os.fsync(file.fileno())
        except OSError as error:
            os.ftruncate(file.fileno(), before)
            raise OSError(error.errno, error.strerror, str(path)) from error


def read(
    path: str | os.PathLike[str], *, pass_over_damage: bool = False
) -> Iterator[dict[str, Any]]:
    """Read the entries in order, one in memory at a time; a torn tail is left out.

    Args:
        path: the log; one that is missing has no entries.
        pass_over_damage: leave damaged lines out, of a log that no result needs.

    Raises:
        ValueError: a whole line is damaged.
    """
    path = Path(path)
    if not path.exists():
        return
    with path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            if not line.endswith(b"\n"):
                return
            try:
                yield _decode(line, f"{path}, line {number}")
            except ValueError:
                if not pass_over_damage:
                    raise


def repair(path: str | os.PathLike[str]) -> int:
    """Cut off a torn tail; return how many bytes it had."""
    path = Path(path)
    if not path.exists():
        return 0
    with path.open("rb+") as file:
        size = file.seek(0, os.SEEK_END)
        whole = _end_of_last_line(file, size)
        if whole < size:
            file.truncate(whole)
            os.fsync(file.fileno())
        return size - whole


def _decode(line: bytes, where: str) -> dict[str, Any]:
    body, crc = line[: -_CRC_LENGTH - 1], line[-_CRC_LENGTH - 1 : -1]
    if crc != f"{_CRC}{zlib.crc32(body):08x}{_END}".encode():
        raise ValueError(
            f"{where} is damaged (its checksum does not match); restore the file, or "
            "cut it off before that line to have the prompts from there done again"
        )
    try:
        return parse_json(body.decode("utf-8", "surrogatepass") + "}")
    except ValueError as error:
        raise ValueError(f"{where} is no entry of a log: {error}") from error


def _write_all(descriptor: int, data: bytes) -> None:
    while data:
        data = data[os.write(descriptor, data) :]


def _end_of_last_line(file: Any, size: int, block: int = 1 << 16) -> int:
    """Return the position after the last newline, 0 without one."""
    end = size
    while end:
        start = max(0, end - block)
        file.seek(start)
        found = file.read(end - start).rfind(b"\n")
        if found >= 0:
            return start + found + 1
        end = start
    return 0

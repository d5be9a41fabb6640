"""The growing log: whole entries or none, whatever happens to process or disk."""

import errno
import os

import pytest

from avits_jax.runs import log

ENTRIES = [{"row": i, "text": 'käse\n"' * i, "numbers": [0.5, None]} for i in range(4)]


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "log.jsonl"
    for entry in ENTRIES:
        log.append(path, entry, sync=False)
    return path


def read(path):
    return [{k: v for k, v in entry.items() if k != "crc"} for entry in log.read(path)]


def test_what_was_appended_is_read(path):
    assert read(path) == ENTRIES
    assert log.repair(path) == 0
    assert read(path.with_name("missing.jsonl")) == []
    assert log.repair(path.with_name("missing.jsonl")) == 0


def test_every_torn_tail_is_cut_off_and_can_be_appended_again(path):
    whole = path.read_bytes()
    start = whole[:-1].rindex(b"\n") + 1
    for length in range(start, len(whole)):
        path.write_bytes(whole[:length])
        assert read(path) == ENTRIES[:3]
        assert log.repair(path) == length - start
        log.append(path, ENTRIES[3], sync=True)
        assert path.read_bytes() == whole


def test_a_tail_longer_than_a_block_is_found(path):
    whole = path.read_bytes()
    path.write_bytes(whole + b"x" * 200_000)
    assert log.repair(path) == 200_000 and path.read_bytes() == whole
    path.write_bytes(b"x" * 200_000)
    assert log.repair(path) == 200_000 and path.read_bytes() == b""


def test_a_changed_byte_anywhere_is_damage(path):
    whole = bytearray(path.read_bytes())
    for place in range(0, len(whole) - 1, 7):
        if whole[place] == ord("\n"):
            continue
        changed = whole.copy()
        changed[place] ^= 1
        path.write_bytes(changed)
        number = whole[:place].count(b"\n") + 1
        with pytest.raises(ValueError, match=f"log.jsonl, line {number} is damaged"):
            list(log.read(path))


@pytest.mark.parametrize("written", [0, 1, 20])
def test_full_disk_leaves_the_log_as_it_was(path, monkeypatch, written):
    before, write = path.read_bytes(), os.write

    def full(descriptor, data):
        if written and len(data) > written:
            return write(descriptor, data[:written])
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    # The first call writes a part, as the kernel does; the second finds no room.
    calls = iter([full, lambda *_: full(0, b"")])
    monkeypatch.setattr(os, "write", lambda *args: next(calls)(*args))
    with pytest.raises(OSError, match="No space left on device") as caught:
        log.append(path, {"row": 9, "text": "x" * 50}, sync=True)
    assert caught.value.filename == str(path)
    assert path.read_bytes() == before


def test_numbers_that_json_lacks_are_refused(path):
    before = path.read_bytes()
    with pytest.raises(ValueError):
        log.append(path, {"row": float("nan")}, sync=False)
    assert path.read_bytes() == before

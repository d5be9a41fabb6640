"""Folders that appear complete, or not at all."""

import os
import shutil

import pytest

from avits_jax.files import folders
from avits_jax.files.locks import HeldError, lock


def test_writers_that_go_on_after_an_interruption_leave_nothing(tmp_path, monkeypatch):
    calls, rmtree = iter(range(9)), shutil.rmtree

    def remove(folder, ignore_errors):
        rmtree(folder, ignore_errors)
        if next(calls) < 2:  # a thread writes once more
            folder.mkdir(exist_ok=True)
            (folder / "late").touch()

    monkeypatch.setattr(folders.shutil, "rmtree", remove)
    monkeypatch.setattr(folders, "_PAUSE", 0.0)
    with pytest.raises(KeyboardInterrupt):
        with folders.replacing_folder(tmp_path / "out"):
            raise KeyboardInterrupt
    assert next(calls) == 3
    assert not list(tmp_path.iterdir())


def test_what_a_killed_writer_left_is_removed_by_the_next(tmp_path):
    (tmp_path / ".out.new-killed").mkdir()
    (tmp_path / ".out.new-killed" / "half").touch()
    (tmp_path / ".out.old-killed").mkdir()
    (tmp_path / ".other.new-1").mkdir()
    with folders.replacing_folder(tmp_path / "out") as first:
        (first / "a").touch()
        # One that is at work is let alone.
        with folders.replacing_folder(tmp_path / "out") as second:
            assert first.is_dir() and second != first
            names = {path.name for path in tmp_path.iterdir()}
            assert ".out.new-killed" not in names
            # An old folder may be all there is, as long as no new one stands.
            assert ".out.old-killed" in names
    assert (tmp_path / "out" / "a").is_file()
    with folders.replacing_folder(tmp_path / "out"):
        pass
    assert {p.name for p in tmp_path.iterdir()} == {"out", ".other.new-1"}
    assert not list((tmp_path / "out").iterdir())


def test_a_lock_ends_with_its_holder(tmp_path):
    held = lock(tmp_path / "file", create=True)
    with pytest.raises(HeldError, match="another process holds .*file"):
        lock(tmp_path / "file")
    os.close(held)
    os.close(lock(tmp_path / "file"))
    with pytest.raises(FileNotFoundError):
        lock(tmp_path / "none")

"""Folders that appear complete, or not at all."""

import shutil

import pytest

from avits_jax.files import folders


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

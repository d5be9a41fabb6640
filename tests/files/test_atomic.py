"""Files are whole or untouched."""

import json
import os

import pytest

from avits_jax.media import replacing, write_bytes, write_json, write_text


def test_written_whole_with_usual_permissions(tmp_path):
    (tmp_path / "plain").write_text("x")
    assert write_text(tmp_path / "a.txt", "ü\n").read_bytes() == b"\xc3\xbc\n"
    assert write_bytes(tmp_path / "b", b"\x00").read_bytes() == b"\x00"
    value = {"ä": [1, None]}
    assert (
        json.loads(write_json(tmp_path / "c.json", value).read_text("utf-8")) == value
    )
    modes = {path.stat().st_mode for path in tmp_path.iterdir()}
    assert len(modes) == 1


def test_error_keeps_the_old_file_and_leaves_nothing_else(tmp_path):
    path = write_text(tmp_path / "a.txt", "old")
    with pytest.raises(RuntimeError), replacing(path) as temporary:
        temporary.write_text("new, but unfini")
        raise RuntimeError
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["a.txt"]


def test_nan_is_refused_with_the_file_named(tmp_path):
    with pytest.raises(ValueError, match=r"r\.json was not written"):
        write_json(tmp_path / "r.json", {"score": float("nan")})
    assert os.listdir(tmp_path) == []

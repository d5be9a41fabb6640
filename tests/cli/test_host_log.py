"""The log of a host: every line once, with the time, and how it ended."""

import re
import sys

import pytest

from avits_jax.cli.host_log import host_log

LINE = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ (.*)")


def lines(folder):
    """Return what the log of the one host says, without times."""
    text = (folder / "host-000.log").read_text()
    return [LINE.fullmatch(line)[1] for line in text.splitlines()]


def test_it_keeps_lines_and_passes_everything_on(tmp_path, capsys):
    with host_log(tmp_path / "logs"):
        print("one", file=sys.stderr)
        # A bar, drawn over itself and in colours.
        sys.stderr.write("\x1b[32m10%\x1b[0m\r")
        sys.stderr.write("\x1b[2K100%\n\n")
    assert capsys.readouterr().err == ("one\n\x1b[32m10%\x1b[0m\r\x1b[2K100%\n\n")
    first, *rest = lines(tmp_path / "logs")
    assert first.startswith("host 0 of 1, cpu") and "jaxlib" in first
    assert rest == ["one", "100%", "done"]


def test_a_second_start_adds_and_an_error_is_kept(tmp_path):
    with host_log(tmp_path):
        pass
    stream = sys.stderr
    with pytest.raises(KeyboardInterrupt), host_log(tmp_path):
        raise KeyboardInterrupt("interrupted; 3 prompts are safe")
    assert sys.stderr is stream
    assert [line for line in lines(tmp_path) if not line.startswith("host 0")] == [
        "done",
        "ended by KeyboardInterrupt: interrupted; 3 prompts are safe",
    ]


def test_without_a_folder_nothing_is_written(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    stream = sys.stderr
    with host_log(None):
        assert sys.stderr is stream
    assert not list(tmp_path.iterdir())

"""avits verify on awkward clips: path, exit status, message."""

import re
from fractions import Fraction

import jax
import numpy as np
import pytest
from making import bar, click, make_file

from avits_jax.cli import main
from avits_jax.media import decoding

TIMES = [index / 25 for index in range(12)]
SOUND = click(0.2, 0.5, 48_000)
NAN = np.full_like(SOUND, np.nan)
PCM = ("libx264", "pcm_f32le")


def cut(path):
    """Cut the later half of a file off."""
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


@pytest.fixture
def verify(tmp_path, capsys, monkeypatch):
    """Score a clip by AV-Align; return the status, what was printed, and errors."""
    monkeypatch.chdir(tmp_path)
    enabled = jax.config.jax_enable_compilation_cache

    def run(name):
        flags = ["--verifiers", "av_align", "--no-compilation-cache"]
        status = main(["verify", name, "a bar moves", *flags])
        printed = capsys.readouterr()
        return status, printed.out, printed.err

    yield run
    jax.config.update("jax_enable_compilation_cache", enabled)


@pytest.mark.parametrize(
    ("name", "video", "sound", "options", "spoil", "message"),
    [
        ("cut.mp4", bar(12), SOUND, {}, cut, "has no picture track|cannot be read"),
        ("blind.mkv", None, SOUND, {}, None, "has no picture track"),
        (
            "wide.mp4",
            bar(12),
            SOUND,
            {"aspect": Fraction(16)},
            None,
            "says that its pixels are 16 times as wide as high; 1/8 to 8 are accepted",
        ),
        ("nan.mkv", bar(12), NAN, {"codecs": PCM}, None, "has sound that is not a num"),
    ],
)
def test_refused_in_one_line(
    verify, tmp_path, name, video, sound, options, spoil, message
):
    path = make_file(tmp_path / name, video, TIMES, sound, **options)
    if spoil:
        spoil(path)
    status, out, err = verify(name)
    assert status == 2 and out == ""
    (line,) = (line for line in err.splitlines() if "Loaded" not in line)
    assert re.match(f"avits: error: clip {name} ({message})", line), line
    assert [each.name for each in tmp_path.iterdir()] == [name]


def test_pictures_too_large_are_refused(verify, tmp_path, monkeypatch):
    monkeypatch.setattr(decoding, "MAX_PIXELS", 128 * 64 - 1)
    make_file(tmp_path / "a.mp4", bar(12), TIMES, SOUND)
    status, _, err = verify("a.mp4")
    message = "clip a.mp4 has pictures of 128x64; at most 8191 pixels are accepted"
    assert status == 2 and err.splitlines()[-1] == f"avits: error: {message}"


@pytest.mark.parametrize(
    ("name", "times", "sound", "options", "note"),
    [
        ("loud.mkv", TIMES, 3 * SOUND, {"codecs": PCM}, "sound above full scale clipp"),
        (
            "burst.mkv",
            [*TIMES[:4], *(0.16 + index / 1000 for index in range(8))],
            SOUND,
            {},
            "variable frame rate made constant at 60 fps",
        ),
    ],
)
def test_scored_with_a_note(verify, tmp_path, name, times, sound, options, note):
    make_file(tmp_path / name, bar(12), times, sound, **options)
    status, out, _ = verify(name)
    assert status == 0 and f"changed to fit: {note}" in out

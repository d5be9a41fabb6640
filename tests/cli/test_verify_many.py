"""avits verify on many clips: tables, folders, awkward files, bad rows."""

import csv
import json
import sys
from pathlib import Path

import numpy as np
import pyarrow
import pytest
from pyarrow import parquet

from avits_jax.cli import main
from avits_jax.cli.clips import list_clips

sys.path.append(str(Path(__file__).parents[1] / "media"))
from making import click, flashes, make_file  # noqa: E402

QUARTERS = [index / 25 for index in range(25)]
FLAGS = ["--verifiers", "width,seconds,sound_seconds,loud", "--no-compilation-cache"]


def plain(path, seconds=1.0, rate=48_000, size=(48, 64), **options):
    """Write a clip with a flash and a click in its middle."""
    times = [time for time in QUARTERS if time < seconds]
    video = flashes(times, len(times) // 2, size)
    return make_file(
        path, video, times, click(seconds / 2, seconds, rate), rate=rate, **options
    )


def scores(capsys):
    return json.loads(capsys.readouterr().out)


def test_table_with_good_and_bad_rows(loads, tmp_path, capsys):
    (tmp_path / "clips").mkdir()
    plain(tmp_path / "clips" / "good.mp4")
    video = flashes(QUARTERS, 3, (48, 64))
    make_file(tmp_path / "clips" / "mute.mp4", video, QUARTERS, None)
    (tmp_path / "clips" / "text.mp4").write_text("no clip at all")
    rows = [
        *(("good.mp4", "a dog"), ("mute.mp4", "a dog"), ("text.mp4", "a dog")),
        *(("none.mp4", "a dog"), ("good.mp4", ""), ("good.mp4", "an unheard dog")),
    ]
    with (tmp_path / "clips" / "t.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("clip", "prompt"), *rows])
    flags = [*FLAGS, "--json", "--out", "all.csv"]
    assert main(["verify", "clips/t.csv", *flags]) == 3
    found = scores(capsys)
    assert [row["clip"] for row in found] == [f"clips/{clip}" for clip, _ in rows]
    good, mute, text, none, empty, unheard = (
        list(r["rewards"].values()) for r in found
    )
    np.testing.assert_allclose(good, [64, 1.0, 1.0, 0.8], atol=0.1)
    assert mute == [64, 1.0, None, None]
    assert text == none == empty == [None] * 4
    assert unheard == [*good[:3], None]
    reasons = [row.get("reason") for row in found]
    assert reasons[0] is None
    assert reasons[1] == "sound_seconds and loud: the clip has no sound"
    assert "text.mp4 cannot be read" in reasons[2] and "exist" in reasons[3]
    assert reasons[4].startswith("the prompt is empty")
    assert reasons[5] == "loud: loud does not understand 'an unheard dog'"
    with (tmp_path / "all.csv").open(newline="") as file:
        written = list(csv.DictReader(file))
    assert [row["width"] for row in written] == ["64.0", "64.0", "", "", "", "64.0"]
    assert written[1]["reason"] == reasons[1] and written[0]["reason"] == ""


def test_folder_is_scored_in_order_of_names(loads, tmp_path, capsys):
    (tmp_path / "clips").mkdir()
    for name, seconds in (("b.mp4", 1.0), ("a.mkv", 0.4), ("c.mp4", 1.0)):
        plain(tmp_path / "clips" / name, seconds)
    (tmp_path / "clips" / "notes.txt").write_text("no clip")
    assert main(["verify", "clips", "a dog", *FLAGS, "--out", "all.json"]) == 0
    printed = capsys.readouterr()
    names = [line.split()[0] for line in printed.out.splitlines() if "clips/" in line]
    assert names == ["clips/a.mkv", "clips/b.mp4", "clips/c.mp4"]
    assert "3 clips: 3 scored" in printed.err and "why" not in printed.out
    written = json.loads((tmp_path / "all.json").read_text())
    assert [row["rewards"]["seconds"] for row in written] == pytest.approx([0.4, 1, 1])


def test_equal_clips_share_a_program_and_rates_share_the_weights(loads, tmp_path):
    seen, traced = loads
    for name, rate in (("a.mp4", 48_000), ("b.mp4", 48_000), ("c.mp4", 16_000)):
        plain(tmp_path / name, rate=rate)
    assert main(["verify", "a.mp4", "b.mp4", "c.mp4", "a dog", *FLAGS]) == 0
    assert traced.count("loud") == 2
    assert [load[:2] for load in seen] == [(25.0, 48_000), (25.0, 16_000)]
    assert len({load[2] for load in seen}) == 1


@pytest.mark.parametrize(
    ("name", "options", "expected"),
    [
        ("a.mkv", {"size": (33, 47), "pix_fmt": "yuv444p"}, (47, 1.0, 1.0)),
        ("a.mkv", {"rate": 8000, "codecs": ("libx264", "pcm_s16le")}, (64, 1.0, 1.0)),
        ("a.mkv", {"rate": 96_000, "codecs": ("libx264", "flac")}, (64, 1.0, 1.0)),
        ("a.webm", {"codecs": ("libvpx-vp9", "libopus")}, (64, 1.0, 1.0)),
        ("a.mp4", {"seconds": 0.2}, (64, 0.2, 0.2)),
    ],
)
def test_awkward_files(loads, tmp_path, capsys, name, options, expected):
    plain(tmp_path / name, **options)
    assert main(["verify", name, "a dog", *FLAGS, "--json"]) == 0
    rewards = scores(capsys)["rewards"]
    *sizes, loud = rewards.values()
    np.testing.assert_allclose(sizes, expected, atol=0.06)
    assert 0.3 < loud <= 1


@pytest.mark.parametrize(("layout", "channels"), [("stereo", 2), ("5.1", 6)])
def test_channels_are_mixed(loads, tmp_path, capsys, layout, channels):
    video, sound = flashes(QUARTERS, 3, (48, 64)), click(0.5, 1, 48_000, channels)
    path = tmp_path / "a.mkv"
    codecs = ("libx264", "flac")
    make_file(path, video, QUARTERS, sound, layout=layout, codecs=codecs)
    assert main(["verify", "a.mkv", "a dog", *FLAGS, "--json"]) == 0
    found = scores(capsys)
    assert found["rewards"]["loud"] == pytest.approx(0.8, abs=0.01)
    assert found["notes"] == [f"{layout} sound mixed down to mono"]


def test_variable_rate_and_long_clips(loads, tmp_path, capsys):
    times = [0.0, 0.04, 0.08, 0.6, 0.64, 0.68, 0.72]
    sound = click(0.6, 0.76, 48_000)
    make_file(tmp_path / "a.mp4", flashes(times, 3, (32, 32)), times, sound)
    flags = [*FLAGS, "--json", "--max-seconds", "0.4"]
    for arguments, seconds, word in ((FLAGS, 0.76, "variable"), (flags, 0.4, "cut")):
        assert main(["verify", "a.mp4", "a dog", *arguments, "--json"]) == 0
        found = scores(capsys)
        assert found["rewards"]["seconds"] == pytest.approx(seconds, abs=0.01)
        assert any(word in note for note in found["notes"])


def test_one_frame_fails_where_two_are_needed(loads, tmp_path, capsys):
    sound = click(0.01, 1, 48_000)
    make_file(tmp_path / "a.mp4", flashes([0.0], 0, (32, 32)), [0.0], sound)
    assert main(["verify", "a.mp4", "a dog", *FLAGS, "--json"]) == 1
    printed = capsys.readouterr()
    rewards = json.loads(printed.out)["rewards"]
    assert rewards["seconds"] is None and rewards["width"] == 32
    message = "seconds: a clip must have at least 2 frames, got 1"
    assert printed.err == f"avits: error: {message}\n"


def test_each_verifier_has_its_own_view(loads, tmp_path, capsys):
    plain(tmp_path / "a.mp4")
    flags = ["--model", "toy", "--verifiers", "red,width", "--json"]
    assert main(["verify", "a.mp4", "a circle", *flags, "--no-compilation-cache"]) == 0
    found = scores(capsys)
    assert list(found["rewards"]) == ["red", "width"]
    assert found["rewards"]["width"] == 64
    assert "64x48 scaled and cropped to 16x16" in found["notes"]
    assert main(["verify", "a.mp4", "a dog", *flags, "--no-compilation-cache"]) == 1
    found = scores(capsys)
    assert found["rewards"] == {"red": None, "width": 64}
    assert found["reason"] == "red: toy understands circles alone, got 'a dog'"


def test_all_failing_is_failure(loads, tmp_path, capsys):
    (tmp_path / "a.mp4").write_text("no clip")
    assert main(["verify", "a.mp4", "b.mp4", "a dog", *FLAGS]) == 1
    printed = capsys.readouterr()
    assert "2 clips: 0 scored, 2 with scores missing" in printed.err
    assert "cannot be read" in printed.out and "does not exist" in printed.out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "name a clip and a prompt, or a table"),
        (["a.mp4"], "the prompt is missing: the last argument is a clip, a.mp4"),
        (["a.mp4", "a.mp4"], "the prompt is missing: the last argument is a clip"),
        (["t.csv", "a dog"], "t.csv holds its own prompts; name the table alone"),
        (["t.csv"], "t.csv has no column 'clip'; it has: file, prompt"),
        (["none.csv"], "prompts file none.csv does not exist"),
        (["empty", "a dog"], "folder empty holds no video"),
        (["a.mp4", "a dog", "--out", "a.txt"], "--out must end in .csv or .json"),
        (["a.mp4", "a dog", "--out", "no/a.csv"], "--out no/a.csv: folder no does not"),
        (["a.mp4", "a dog", "--max-seconds", "0"], "--max-seconds must be above 0"),
        (["a.mp4", "a dog", "--dtype", "float16"], "unknown dtype 'float16'"),
        (
            ["a.mp4", "a dog", "--verifiers", "loud:quick"],
            "mode of verifier 'loud:quick",
        ),
        (["a.mp4", "a dog", "--verifiers", "lod@tiny"], "unknown verifier 'lod' (t"),
    ],
)
def test_bad_arguments(loads, tmp_path, capsys, arguments, message):
    (tmp_path / "empty").mkdir()
    (tmp_path / "a.mp4").write_text("never read")
    (tmp_path / "t.csv").write_text("file,prompt\na.mp4,a dog\n")
    assert main(["verify", *arguments]) == 2
    printed = capsys.readouterr()
    assert printed.out == "" and len(printed.err.splitlines()) == 1
    assert printed.err.startswith(f"avits: error: {message}")


@pytest.mark.parametrize("ending", [".tsv", ".json", ".parquet"])
def test_tables_of_other_kinds(tmp_path, monkeypatch, ending):
    monkeypatch.chdir(tmp_path)
    rows = [{"clip": "a.mp4", "prompt": "a dog"}, {"clip": "b", "prompt": "a, cat"}]
    if ending == ".parquet":
        parquet.write_table(pyarrow.Table.from_pylist(rows), "t.parquet")
    elif ending == ".json":
        Path("t.json").write_text(json.dumps(rows))
    else:
        lines = ["\t".join(row) for row in [rows[0], *(r.values() for r in rows)]]
        Path("t.tsv").write_text("\n".join(lines))
    asked = list_clips([f"t{ending}"], "clip", "prompt")
    assert asked.items == ((Path("a.mp4"), "a dog"), (Path("b"), "a, cat"))
    assert not asked.single

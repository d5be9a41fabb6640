"""avits select: the best of clips that exist, group by group, resumable."""

import csv
import json
import sys
from pathlib import Path

import numpy as np
import pytest

from avits_jax import runs
from avits_jax.cli import main, selecting, verifying
from avits_jax.runs.folder import RunFolder

sys.path.append(str(Path(__file__).parents[1] / "media"))
from making import click, flashes, make_file  # noqa: E402

TIMES = [index / 25 for index in range(10)]
FLAGS = [
    *("--verifiers", "width,sound_seconds", "--judge", "seconds", "--aggregator"),
    *("weighted", "--no-compilation-cache"),
]


def clip(path, width, sound=True):
    """Write a clip of that width; the wider, the better."""
    path.parent.mkdir(exist_ok=True)
    audio = click(0.1, 0.4, 48_000) if sound else None
    return make_file(path, flashes(TIMES, 3, (48, width)), TIMES, audio)


@pytest.fixture
def takes(loads, tmp_path):
    """Two prompts, of three and of two clips; the last of the first has no sound."""
    for place, (width, sound) in enumerate([(48, True), (64, True), (96, False)]):
        clip(tmp_path / "dog" / f"{place}.mp4", width, sound)
    clip(tmp_path / "cat" / "a.mp4", 80)
    clip(tmp_path / "cat" / "b.mkv", 96)
    rows = [("prompt", "clip"), ("a dog", "dog"), ("a cat", "cat/a.mp4")]
    rows.append(("a cat", "cat/b.mkv"))
    (tmp_path / "holes.csv").write_text("prompt,clip\na dog,dog\na dog,\n")
    with (tmp_path / "takes.csv").open("w", newline="") as file:
        csv.writer(file).writerows(rows)
    return tmp_path


def test_a_table_of_groups(takes, capsys):
    assert main(["select", "takes.csv", "--out", "best", *FLAGS]) == 0
    printed = capsys.readouterr()
    assert "dog/2.mp4: sound_seconds: the clip has no sound" in printed.err
    assert "2 prompts: 2 done" in printed.out and "best/scores.csv" in printed.out
    first, second = runs.read_records("best")
    assert (first.prompt, first.best, second.prompt, second.best) == (
        *("a dog", 1),
        *("a cat", 1),
    )
    np.testing.assert_array_equal(first.rewards[:, 0], [48, 64, 96])
    assert np.isnan(first.rewards[2, 1]) and first.judged.shape == (3, 1)
    clips = takes / "best" / "clips"
    assert (clips / "sample_0000.mp4").read_bytes() == (
        takes / "dog" / "1.mp4"
    ).read_bytes()
    assert (clips / "sample_0001.mp4").is_file()
    rows = list(csv.DictReader((takes / "best" / "scores.csv").open()))
    assert [row["chosen"] for row in rows] == ["0", "1", "0", "0", "1"]
    assert rows[2]["width"] == "96.0" and rows[2]["sound_seconds"] == ""
    assert rows[2]["reason"] == "dog/2.mp4: sound_seconds: the clip has no sound"
    assert rows[4]["clip"] == "cat/b.mkv" and not rows[4]["reason"]
    assert first.verifier_calls == 5 and second.verifier_calls == 4
    settings = json.loads((takes / "best" / "run.json").read_text())["settings"]
    assert settings["search"] == "select" and settings["model"] is None
    assert "select" in (takes / "best" / "report.html").read_text()
    # Its config says all but the clips' places over again.
    assert (
        main(["select", "takes.csv", "--config", "best/config.toml", "--out", "2"]) == 0
    )
    assert [r.best for r in runs.read_records("2")] == [1, 1]


def test_clips_of_one_prompt_and_links(takes, capsys):
    flags = ["--prompt", "a dog", "--link", *FLAGS]
    assert main(["select", "dog", "cat/a.mp4", "--out", "best", *flags]) == 0
    (record,) = runs.read_records("best")
    assert record.rewards.shape == (4, 2) and record.best == 3
    chosen = takes / "best" / "clips" / "sample_0000.mp4"
    assert chosen.is_symlink() and chosen.resolve() == takes / "cat" / "a.mp4"
    assert main(["select", "cat", "--out", "more", *flags]) == 2
    printed = " ".join(capsys.readouterr().err.split())
    assert "--link needs .mp4 clips, got cat/b.mkv; leave --link out" in printed
    assert not (takes / "more").exists()


def test_a_killed_run_goes_on_and_ends_the_same(takes, monkeypatch):
    flags = [*FLAGS[:5], "arw", "--no-compilation-cache"]
    assert main(["select", "takes.csv", "--out", "whole", *flags]) == 0
    kept = RunFolder.append

    def killed(folder, record, seconds):
        if record.row == 1:
            raise KeyboardInterrupt
        kept(folder, record, seconds)

    monkeypatch.setattr(RunFolder, "append", killed)
    assert main(["select", "takes.csv", "--out", "half", *flags]) == 130
    assert len(list(runs.read_records("half"))) == 1
    monkeypatch.setattr(RunFolder, "append", kept)
    (takes / "half" / "clips" / "sample_0000.mp4").unlink()
    judged = []
    seen = verifying.Jury.judge
    monkeypatch.setattr(
        verifying.Jury, "judge", lambda s, i: judged.append(i.clip.name) or seen(s, i)
    )
    assert main(["select", "takes.csv", "--out", "half", *flags]) == 0
    assert judged == ["a.mp4", "b.mkv"]
    for name in ("records.jsonl", "scores.csv", "clips/sample_0000.mp4"):
        whole, half = (takes / run / name for run in ("whole", "half"))
        assert whole.read_bytes() == half.read_bytes(), name


def test_a_run_in_a_store_is_the_same(takes, bucket, capsys):
    assert main(["select", "takes.csv", "--out", "best", *FLAGS]) == 0
    assert main(["select", "takes.csv", "--out", "gs://bucket/best", *FLAGS]) == 0
    assert "gs://bucket/best/scores.csv" in capsys.readouterr().out
    there = bucket.contents("gs://bucket/best")
    for name in ("scores.csv", "clips/sample_0000.mp4", "clips/sample_0001.mp4"):
        assert there[name] == (takes / "best" / name).read_bytes(), name
    flags = ["--prompt", "a dog", "--link", "--out", "gs://bucket/more", *FLAGS]
    assert main(["select", "dog", *flags]) == 2
    assert "gs://bucket/more holds no links" in capsys.readouterr().err


def test_a_group_without_a_usable_clip(takes, capsys):
    flags = ["--prompt", "a dog", "--out", "best", *FLAGS]
    assert main(["select", "dog/2.mp4", *flags]) == 1
    (record,) = runs.read_records("best")
    assert (record.status, record.best) == ("failed", -1)
    assert record.reason == (
        "no clip is usable: dog/2.mp4: sound_seconds: the clip has no sound"
    )
    assert not list((takes / "best" / "clips").iterdir())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "name clips and their --prompt, or a table"),
        (["dog"], 'the prompt is missing; add --prompt "..."'),
        (["takes.csv", "--prompt", "a dog"], "takes.csv holds its own prompts"),
        (["takes.csv", "dog"], "takes.csv holds its own prompts"),
        (["dog/9.mp4", "--prompt", "a"], "clip dog/9.mp4 does not exist"),
        (["gs://b/a.mp4", "--prompt", "a"], "a clip must be on this machine, got gs:"),
        (["dog", "--prompt", " "], "the prompt is empty"),
        (["holes.csv"], "holes.csv, row 1 from 0: 'clip' is empty"),
        (["dog", "--prompt", "a", "--weights", "1"], "--weights must have one number"),
        (["dog", "--prompt", "a", "--max-seconds", "0"], "--max-seconds must be above"),
        (["takes.csv", "--prompt-column", "text"], "has no column 'text'"),
    ],
)
def test_bad_input_is_said_before_anything_is_loaded(
    takes, capsys, monkeypatch, arguments, message
):
    monkeypatch.setattr(selecting, "select", lambda *_: pytest.fail("it went on"))
    assert main(["select", *arguments, "--out", "best", *FLAGS]) == 2
    assert message in " ".join(capsys.readouterr().err.split())
    assert not (takes / "best").exists()


def test_a_prompt_that_nobody_understands_is_said_once(takes, capsys):
    flags = ["--verifiers", "red", "--model", "toy", "--out", "best"]
    assert main(["select", "dog", "--prompt", "a dog", *flags]) == 2
    printed = " ".join(capsys.readouterr().err.split())
    assert printed.count("toy understands circles alone") == 1
    assert "or name other verifiers: --verifiers javis_score" in printed
    assert not (takes / "best").exists()


def test_other_clips_or_a_changed_one_are_refused(takes, capsys):
    assert main(["select", "takes.csv", "--out", "best", *FLAGS]) == 0
    flags = ["--prompt", "a dog", "--out", "best", *FLAGS]
    assert main(["select", "dog", *flags]) == 2
    assert "is a run of other settings (clips:" in " ".join(
        capsys.readouterr().err.split()
    )
    (takes / "best" / "clips" / "sample_0000.mp4").unlink()
    clip(takes / "dog" / "1.mp4", 64, sound=False)
    assert main(["select", "takes.csv", "--out", "best", *FLAGS]) == 2
    assert "has changed since it was chosen" in " ".join(
        capsys.readouterr().err.split()
    )
    assert not (takes / "best" / "clips" / "sample_0000.mp4").exists()

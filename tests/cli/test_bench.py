"""avits bench: the three steps on tiny networks, resumed, refused, put beside others."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest

from avits_jax.bench import read_evaluated
from avits_jax.cli import bench_jury, benching, main
from avits_jax.media import write_clip

TEXTS = ("a dog barks", "rain falls", "a bell rings", "a car starts")
CATEGORIES = {f"cat{n}_ind": "0" for n in range(5)}


@pytest.fixture(scope="module")
def clips(tmp_path_factory):
    """Return a folder of four clips of a second, and the table of their prompts."""
    folder = tmp_path_factory.mktemp("bench")
    rng = np.random.default_rng(0)
    (folder / "clips").mkdir()
    rows = [
        {"id": f"id{n}", "text": text, "audio_text": f"sound of {text}", **CATEGORIES}
        for n, text in enumerate(TEXTS)
    ]
    for name, column, ending, delimiter in (
        ("javis.csv", "text", "csv", ","),
        ("vgg.tsv", "label", "tsv", "\t"),
    ):
        named = [
            {
                "label" if key == "text" and ending == "tsv" else key: value
                for key, value in row.items()
            }
            for row in rows
        ]
        with (folder / name).open("w", newline="") as file:
            table = csv.DictWriter(file, named[0], delimiter=delimiter)
            table.writeheader()
            table.writerows(named)
    for n in range(4):
        video = rng.uniform(size=(24, 32, 32, 3)).astype(np.float32)
        sound = 0.1 * rng.standard_normal(16_000).astype(np.float32)
        path = folder / "clips" / f"sample_{n:04d}.mp4"
        write_clip(path, video, sound, fps=24, sample_rate=16_000, scale=1)
    return folder


@pytest.fixture
def run(clips, tmp_path, monkeypatch):
    """Return a function that runs ``avits bench`` on cheap columns, somewhere."""
    monkeypatch.chdir(tmp_path)

    def bench(*words, out="out", columns="av_align,clap_score,fad"):
        prompts = clips / ("vgg.tsv" if words[0] == "vggsound" else "javis.csv")
        flags = ["--prompts", str(prompts), "--out", out, "--no-compilation-cache"]
        if "--clips" not in words:
            flags += ["--clips", str(clips / "clips")]
        return main(["bench", *words, *flags, "--columns", columns, "--tiny"])

    return bench


def test_a_folder_is_measured_and_goes_on_after_a_kill(run, monkeypatch, capsys):
    whole = run("javisbench-mini", "evaluate")
    assert whole == 0
    judged, judge = [], bench_jury.BenchJury.judge

    def killed(jury, files, cells):
        if judged:
            raise KeyboardInterrupt
        judged.extend(files)
        return judge(jury, files, cells)

    monkeypatch.setattr(bench_jury.BenchJury, "judge", killed)
    assert run("javisbench-mini", "evaluate", "--batch", "1", out="half") == 130
    monkeypatch.setattr(bench_jury.BenchJury, "judge", judge)
    capsys.readouterr()
    assert run("javisbench-mini", "evaluate", "--batch", "1", out="half") == 0
    assert "1 clips are evaluated already" in capsys.readouterr().err
    one, other = (
        read_evaluated([Path(o) / "evaluated-default"]) for o in ("out", "half")
    )
    assert set(one.scores) == {"av_align", "clap_score"}
    for key, scores in one.scores.items():
        assert np.isfinite(scores).all()
        np.testing.assert_allclose(other.scores[key], scores, rtol=1e-4, atol=1e-5)
    assert one.protocol.resolution == (32, 32) and one.protocol.frames == 24

"""avits bench: the three steps on tiny networks, resumed, refused, compared."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest

from avits_jax.bench import read_evaluated
from avits_jax.cli import bench_jury, main
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
    labels = [{"label": row["text"], **row} for row in rows]
    for name, table, delimiter in (
        ("javis.csv", rows, ","),
        ("vgg.tsv", labels, "\t"),
    ):
        with (folder / name).open("w", newline="") as file:
            writer = csv.DictWriter(file, table[0], delimiter=delimiter)
            writer.writeheader()
            writer.writerows(table)
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
    assert "interrupted; 1 more clips are measured, the same command" in said(capsys)
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
    # What measures with drawn weights says so; optical flow has none.
    drawn = ["clap@tiny", "audioclip"]
    assert one.protocol.random_weights == drawn
    assert run("javisbench-mini", "tabulate") == 0
    text = said(capsys)
    assert text.count("warning:") == 1 and all(name in text for name in drawn)


def said(capsys):
    """Return what was printed, as one line."""
    printed = capsys.readouterr()
    return " ".join((printed.out + printed.err).split())


def test_tables_in_bench_mode_beside_another_row(run, clips, capsys):
    flags = ("javisbench-mini", "--mode", "bench")
    assert run(*flags, "evaluate", out="one", columns="av_align,fad") == 0
    assert run(*flags, "evaluate", "--name", "real", out="real", columns="fad") == 0
    capsys.readouterr()
    kept = ("--write-references", "real.safetensors")
    assert run(*flags, "tabulate", *kept, out="real", columns="fad") == 0
    for real in ("real", "real.safetensors"):
        shown = ("--references", real, "--published")
        assert run(*flags, "tabulate", *shown, out="one") == 0
    text = said(capsys)
    # Real clips are the clips themselves.
    table = json.loads(Path("one/table-bench/table.json").read_text())["tables"][0]
    assert table["columns"]["fad"]["value"] == pytest.approx(0, abs=1e-3)
    assert table["columns"]["fad"]["num_clips"] == 4
    assert table["columns"]["clip_score"]["value"] is None
    assert table["columns"]["av_align"]["categories"]
    assert "not shown: MM-Diffusion" in text
    theirs = json.loads(Path("one/table-bench/javisbench.json").read_text())
    assert set(theirs) == {"av_align"}
    assert theirs["av_align"] == pytest.approx(table["columns"]["av_align"]["value"])
    # The same clips as another row: no difference, and nobody is worse.
    assert run(*flags, "evaluate", "--name", "two", out="two", columns="av_align") == 0
    assert run(*flags, "tabulate", "--against", "two", out="one") == 0
    assert "against two: no column is worse for 100% of 4 prompts" in said(capsys)
    assert run("javisbench-mini", "tabulate", "--against", "two", out="one") == 2


def test_missing_and_broken_clips_are_counted(run, clips, tmp_path, capsys):
    folder = tmp_path / "some"
    folder.mkdir()
    for n in (0, 3):
        name = f"sample_{n:04d}.mp4"
        (folder / name).write_bytes((clips / "clips" / name).read_bytes())
    (folder / "sample_0001.mp4").write_text("no clip")
    flags = ("javisbench-mini", "--clips", str(folder), "evaluate")
    assert run(*flags, columns="av_align") == 2
    assert "clips are missing: rows 2; make them, or --skip-missing" in said(capsys)
    assert not Path("out").exists()
    assert run(*flags, "--skip-missing", columns="av_align") == 3
    capsys.readouterr()
    assert run("javisbench-mini", "tabulate", columns="av_align") == 0
    text = said(capsys)
    assert "row 1 is in no number" in text and "row 2 is in no number" in text
    table = json.loads(Path("out/table-default/table.json").read_text())["tables"][0]
    assert table["columns"]["av_align"]["num_clips"] == 2 and table["num_judged"] == 2
    # What was missing is measured when it is there.
    for n in (1, 2):
        name = f"sample_{n:04d}.mp4"
        (folder / name).write_bytes((clips / "clips" / name).read_bytes())
    assert run(*flags, columns="av_align") == 0
    assert "2 clips are evaluated already" in said(capsys)
    assert not read_evaluated([Path("out/evaluated-default")]).faults


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["javisbench"], "unknown benchmark 'javisbench'"),
        (["javisbench-mini", "judge"], "unknown step 'judge'"),
        (["javisbench-mini", "--mode", "right"], "unknown mode 'right'"),
        (["javisbench-mini", "evaluate", "--batch", "0"], "--batch must be at least 1"),
        (["javisbench-mini", "evaluate", "--clips", "none"], "none does not exist"),
        (["javisbench-mini", "tabulate"], "is no folder of an evaluation"),
        (["javisbench-mini", "--write-references", "x.npz"], ".safetensors, got x.npz"),
        (["javisbench-mini", "evaluate", "--limit", "0"], "limit must be at least 1"),
    ],
)
def test_bad_input_ends_in_one_line(run, capsys, words, message):
    assert run(*words) == 2
    assert message in said(capsys)
    assert not Path("out/evaluated-default").exists()


def test_clips_of_another_table_and_tables_without_columns(run, clips, capsys):
    flags = ["bench", "javisbench-mini", "evaluate", "--tiny", "--out", "out"]
    flags += ["--clips", str(clips / "clips"), "--prompts"]
    Path("short.csv").write_text("text\na dog\n")
    assert main([*flags, "short.csv"]) == 2
    assert "holds sample_0003.mp4, but the table of prompts has 1 rows" in said(capsys)
    Path("none.csv").write_text("prompt\na dog\n")
    assert main([*flags, "none.csv"]) == 2
    assert "none.csv has no column 'text'; it has: prompt" in said(capsys)
    assert main(flags[:-1]) == 2
    assert "--prompts is missing" in said(capsys)


def test_vggsound_measures_sounds_by_their_names(run, clips, tmp_path):
    folder = tmp_path / "named"
    folder.mkdir()
    for n in range(4):
        source = clips / "clips" / f"sample_{n:04d}.mp4"
        (folder / f"id{n}.mp4").write_bytes(source.read_bytes())
    flags = ("vggsound", "--clips", str(folder))
    columns = "fd_vgg,clap_htsat_unfused"
    assert run(*flags, "evaluate", columns=columns) == 0
    found = read_evaluated([Path("out/evaluated-default")])
    assert set(found.features) == {"vggish"} and len(found.features["vggish"]) == 4
    assert np.isfinite(found.scores["clap_htsat_unfused"]).all()


@pytest.mark.slow  # a search and networks of thirteen columns: a minute
def test_all_steps_and_columns(clips, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    rows = (clips / "javis.csv").read_text().splitlines()
    Path("p.csv").write_text("\n".join([*rows, *rows[1:]]) + "\n")
    flags = ["--model", "javisdit-tiny", "--steps", "2", "--num-candidates", "2"]
    flags += ["--verifiers", "javis_score@tiny", "--prompts", "p.csv", "--tiny"]
    assert (
        main(["bench", "javisbench-mini", *flags, "--mode", "bench", "--out", "o"]) == 0
    )
    table = json.loads(Path("o/table-bench/table.json").read_text())["tables"][0]
    known = [key for key, e in table["columns"].items() if e["value"] is not None]
    assert len(known) == 13 and table["columns"]["javis_score"]["guided"]
    assert table["costs"]["evaluations"] > 0
    assert table["of_clips"]["resolution"] == [48, 64]  # not as drawn for players
    # A clip that is not the run's is laid out again.
    clip = Path("o/clips/sample_0001.mp4")
    own = clip.read_bytes()
    clip.write_bytes(Path("o/clips/sample_0000.mp4").read_bytes())
    again = ["generate", *flags, "--out", "o"]
    assert main(["bench", "javisbench-mini", *again]) == 0
    assert clip.read_bytes() == own
    assert sorted(p.name for p in Path("o/clips").iterdir())[:2] == [
        "sample_0000.mp4",
        "sample_0000.wav",
    ]

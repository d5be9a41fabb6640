"""--refine, --image and --preview-decoder on a toy of two stages; others refuse."""

import json
import sys
from pathlib import Path

import av
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from conftest import info

from avits_jax import verifiers
from avits_jax.catalogue import verifiers as known
from avits_jax.cli import main
from avits_jax.media import read_clip
from avits_jax.report import load_results
from avits_jax.runs import read_records, read_run
from avits_jax.types import Verifier

sys.path.append(str(Path(__file__).parents[1] / "generators"))
from staged_family import TABLE  # noqa: E402

# Those that take long to import are left out.
TABLE = [each for each in TABLE if each.name in ("mini", "staged", "staged-fast")]
FLAGS = [
    *("--verifiers", "red,loud", "--num-candidates", "3", "--random-weights"),
    *("--no-compilation-cache", "--resolution", "32x48", "--duration", "1s"),
]


def load_verifiers(names, *, fps, sample_rate, **settings):
    """Return verifiers of colour and of loudness, which must be that of stereo."""

    def red(params, media, cond):
        return media.video[..., 0].mean((1, 2, 3))

    def loud(params, media, cond):
        assert (sample_rate, media.audio.shape[1]) == (
            48_000,
            2,
        ) or media.audio.ndim == 2
        return jnp.abs(media.audio).reshape(len(media.audio), -1).mean(1)

    scores = {"red": red, "loud": loud}
    judges = tuple(Verifier(each.name, scores[each.name]) for each in names)
    return judges, ((),) * len(judges)


@pytest.fixture
def staged(tmp_path, monkeypatch, no_pictures):
    """Run a command with the toy's table in an empty folder, with a picture in it."""
    monkeypatch.setenv("AVITS_CHECKPOINTS", str(tmp_path / "checkpoints"))
    monkeypatch.chdir(tmp_path)
    minis = known.infos()[:4]
    monkeypatch.setattr(known, "infos", lambda: [*minis, info("red"), info("loud")])
    monkeypatch.setattr(verifiers, "load", load_verifiers)
    picture = np.zeros((20, 30, 3), np.uint8)
    picture[:, :15, 0] = 255
    write_png("red.png", picture)
    enabled = jax.config.jax_enable_compilation_cache
    yield lambda *arguments: main(arguments, families=TABLE)
    jax.config.update("jax_enable_compilation_cache", enabled)


def write_png(path, picture):
    with av.open(path, "w", format="image2") as file:
        stream = file.add_stream("png", rate=1)
        stream.height, stream.width = picture.shape[:2]
        stream.pix_fmt = "rgb24"
        file.mux(stream.encode(av.VideoFrame.from_ndarray(picture, "rgb24")))
        file.mux(stream.encode(None))


def test_one_prompt_is_refined_from_a_picture(staged, capsys):
    flags = [*FLAGS, "--model", "staged", "--refine", "2", "--image", "red.png"]
    assert staged("generate", "a toy", *flags, "--out", "one") == 0
    results = load_results("one")
    assert results["clip"] == {
        **{"frames": 8, "height": 32, "width": 48, "fps": 8.0},
        **{"samples": 48_000, "sample_rate": 48_000},
    }
    rows = results["refined"]
    assert len(rows) == 2 and results["best_index"] in [row["index"] for row in rows]
    assert results["cost"]["nfe"] == 3 * 2 + 2
    for row in rows:
        small = results["candidates"][row["index"]]
        assert row["rewards_before"] == small["rewards"]
        assert row["score_before"] == small["score"]
    printed = capsys.readouterr().out
    assert "made large; all above is of small clips" in printed
    page = Path("one/report.html").read_text()
    assert "Made large" in page and "after they were" in page
    best = read_clip("one/best.mp4")
    first = read_clip("one/candidates/candidate_000.mp4")
    assert best.sample_rate == 48_000 and best.audio.shape[0] == 2
    assert abs(best.audio.shape[1] - 48_000) < 2000
    # The tone of each side is its own.
    tones = np.abs(np.fft.rfft(best.audio[:, :48_000])).argmax(1)
    np.testing.assert_allclose(tones, [1000, 4000], atol=5)
    # It begins with the picture, its left half red.
    side = best.video.shape[2] // 4
    assert best.video[0, :, :side].mean((0, 1))[0] > 200 > 60
    assert best.video[0, :, -side:].mean() < 60 < best.video[-1, :, -side:].mean()
    assert first.video.shape[2] / first.video.shape[1] == 1.5
    assert staged("generate", "--config", "one/config.toml", "--out", "again") == 0
    assert load_results("again")["refined"] == rows
    capsys.readouterr()
    verify = ["--verifiers", "loud", "--json", "--no-compilation-cache"]
    assert staged("verify", "one/best.mp4", "a toy", *verify) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["notes"] == ["stereo sound mixed down to mono"]


def test_a_run_is_refined_and_resumed(staged, tmp_path, capsys):
    Path("prompts.txt").write_text("a toy\nanother")
    flags = [*FLAGS, "--model", "staged-fast", "--refine", "1", "--preview-decoder"]
    flags += ["--search", "pruned_best_of_n", "--rungs", "1:2"]
    command = ["run", "prompts.txt", *flags, "--out", "many"]
    assert staged(*command, "--image", "red.png") == 0
    settings = read_run("many")["settings"]
    assert settings["refine"] == 1 and settings["preview_decoder"] is True
    assert settings["image"].startswith("red.png (")
    assert read_run("many")["random_weights"] == ["staged-fast", "staged"]
    for record in read_records("many"):
        assert record.refined.kept == (record.best,)
    assert staged(*command, "--image", "red.png") == 0
    write_png("red.png", np.zeros((8, 8, 3), np.uint8))
    capsys.readouterr()
    assert staged(*command, "--image", "red.png") == 2
    assert "run of other settings (image: " in capsys.readouterr().err
    assert "before and after it was made large" in Path("many/report.html").read_text()
    assert staged("study", "many") == 0


def test_rows_begin_with_pictures_of_their_own(staged, capsys):
    Path("p.jsonl").write_text(
        '{"text": "a toy"}\n{"text": "a toy", "image": "red.png"}\n{"text": "more"}\n'
    )
    command = ["run", "p.jsonl", *FLAGS, "--model", "staged", "--refine", "1"]
    assert staged(*command, "--out", "all") == 0
    plain, pictured, _ = read_records("all")
    assert plain.image is None and pictured.image.startswith("red.png (")
    # Only the pictured row's clip begins with the picture, its left half red.
    first = [read_clip(f"all/clips/sample_000{i}.mp4").video[0] for i in range(3)]
    reds = [image[:, : image.shape[1] // 4].mean((0, 1)) for image in first]
    assert [bool(red[0] > 200 and red[1] < 60) for red in reds] == [False, True, False]
    # As every row's does with --image: noise and program are the same.
    Path("q.txt").write_text("a toy\na toy\nmore\n")
    other = ["run", "q.txt", *command[2:], "--out", "other", "--image", "red.png"]
    assert staged(*other) == 0
    assert (list(read_records("other"))[1].rewards == pictured.rewards).all()
    # What cannot be is refused in a line.
    assert staged(*command, "--out", "all") == 0
    capsys.readouterr()
    alone = ["--out", "none", "--verifiers", "mini_tv", "--num-candidates", "2"]
    for flags, message in [
        (
            [*command, "--out", "none", "--image", "red.png"],
            "--image is for all rows, b",
        ),
        ([*other[:-2], "--image-column", "image"], "no row of q.txt has such a pict"),
        (
            ["run", "p.jsonl", *alone],
            "p.jsonl has pictures: mini takes no picture (mod",
        ),
    ]:
        assert staged(*flags) == 2
        assert message in capsys.readouterr().err.strip().splitlines()[-1]
    write_png("red.png", np.zeros((8, 8, 3), np.uint8))
    assert staged(*command, "--out", "all") == 2
    assert "the picture of row 1 is red.png (" in capsys.readouterr().err
    Path("red.png").write_text("none")
    assert staged(*command, "--out", "none") == 2
    assert "p.jsonl, row 1 from 0: picture red.png cannot be" in capsys.readouterr().err
    assert not Path("none").exists()


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (
            ["--model", "mini", "--refine", "1"],
            "--refine: mini has no second stage (models that do: staged, staged-fast)",
        ),
        (
            ["--model", "mini", "--preview-decoder"],
            "--preview-decoder: mini has no preview decoder (models that do: staged, ",
        ),
        (
            ["--model", "mini", "--image", "red.png"],
            "--image: mini takes no picture (models that do: staged, staged-fast)",
        ),
        (["--model", "staged", "--refine", "4"], "--refine must be 1 to --num-candid"),
        (["--model", "staged", "--refine", "0"], "--refine must be 1 to --num-candid"),
        (["--model", "staged", "--image", "no.png"], "picture no.png does not exist"),
        (["--model", "staged", "--image", "."], "--image: picture . is a folder"),
        (
            ["--model", "staged", "--image", "text.png"],
            "picture text.png cannot be read",
        ),
        (["--model", "staged", "--image", "gs://a/b.png"], "must be on this machine"),
        (["--model", "staged", "--dtype", "float8"], "float8"),
        (["--model", "staged", "--dtype", "float16"], "unknown dtype 'float16'"),
    ],
)
def test_what_cannot_be_is_refused_in_one_line(staged, flags, message, capsys):
    Path("text.png").write_text("no picture, this")
    rest = FLAGS[:-4] if "mini" in flags else FLAGS
    if "mini" in flags:
        rest = ["--num-candidates", "3"]
    assert staged("generate", "a toy", *rest, *flags, "--out", "none") == 2
    told = capsys.readouterr().err.strip().splitlines()
    assert message in told[-1] and not Path("none").exists()

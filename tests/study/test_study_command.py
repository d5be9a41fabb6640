"""``avits study``: what it prints and writes, and what it refuses before any work."""

import json
import re
import sys

import numpy as np
import pytest
from study_runs import drawn, make_run, write_truth

from avits_jax import study
from avits_jax.cli import main, studying
from avits_jax.report import study_page, study_plots

NAN = np.nan


@pytest.fixture
def run(tmp_path, monkeypatch):
    """A run of eight prompts, one of which failed, with a candidate that failed."""
    tables = drawn(7)
    tables[2, 1, 0] = NAN
    make_run(tmp_path / "run", [*tables, None])
    write_truth(tmp_path / "right.csv", tables[..., 2] > 0)
    monkeypatch.chdir(tmp_path)
    return tables


def test_everything_is_printed_and_written(run, tmp_path, capsys):
    flags = ["--truth", "right.csv", "--weights", "1,2", "--aggregators", "rank,arw"]
    assert main(["study", "run", *flags]) == 0
    printed = capsys.readouterr().out
    out = tmp_path / "run" / "study"
    names = ["study.html", "study.json", "success.png", "growth.png", "verifiers.png"]
    assert sorted(names) == sorted(path.name for path in out.iterdir())
    assert printed.splitlines()[-5:] == [f"run/study/{name}" for name in names]
    flat = " ".join(printed.split())
    assert "7 prompts of 1 run; 28 candidates; 1 of them failed and left out; " in flat
    assert "1 more prompt without a usable one; truth of 7 prompts known" in flat
    for words in ("one sample", "best possible", "all 2 arw", "1,2 rank", "red alone"):
        assert words in flat
    assert max(map(len, printed.splitlines())) <= 100

    numbers = json.loads((out / "study.json").read_text())
    rows = {row["selection"]: row for row in numbers["selections"]}
    both = ["rank: red + green", "arw: red + green"]
    more = ["rank: 1 red + 2 green", "arw: 1 red + 2 green"]
    assert list(rows) == ["red", "green", *both, *more]
    tables = np.where(study.usable(run)[..., None], run, NAN)
    winners = np.nanargmax(tables[..., 0], axis=1)
    chosen = run[np.arange(7), winners].astype(float)
    red = rows["red"]
    np.testing.assert_allclose(list(red["rewards"].values()), chosen.mean(axis=0))
    gains = chosen - np.nanmean(tables.astype(float), axis=1)
    np.testing.assert_allclose(
        [red["gains"][name]["mean"] for name in ("red", "green", "blue")],
        gains.mean(axis=0),
    )
    right = study.interval(chosen[:, 2] > 0)
    np.testing.assert_allclose(list(red["right"].values()), right)
    fine = study.interval((gains >= 0).all(axis=1))
    np.testing.assert_allclose(list(red["none_worse"].values()), fine)
    assert rows["arw: red + green"]["weights"] == {"red": 1, "green": 1, "blue": 0}
    assert np.shape(numbers["spearman"]) == np.shape(numbers["same_winner"]) == (3, 3)
    assert np.shape(numbers["agreement"]) == (6, 6)
    curve = numbers["growth"][0]
    assert [point["num_candidates"] for point in curve["points"]] == [1, 2, 4]
    assert curve["points"][-1]["rewards"] == red["rewards"]


def test_several_runs_without_truth(run, tmp_path, capsys):
    make_run(tmp_path / "other", drawn(3, 2, seed=4))
    assert main(["study", "run", "other", "--out", "new/out", "--sizes", "1"]) == 0
    printed = " ".join(capsys.readouterr().out.split())
    assert "10 prompts of 2 runs; 34 candidates" in printed
    assert "share of the possible gain" in printed and "right" not in printed
    numbers = json.loads((tmp_path / "new" / "out" / "study.json").read_text())
    assert [row["selection"] for row in numbers["selections"]] == ["red", "green"]
    assert numbers["selections"][0]["right"] is None


def test_pairs_of_three_guides(run, tmp_path, capsys):
    flags = ["--guides", "red,green,blue", "--sizes", "2", "--aggregators", "arw"]
    assert main(["study", "run", *flags]) == 0
    numbers = json.loads((tmp_path / "run" / "study" / "study.json").read_text())
    names = [f"arw: {pair}" for pair in ("red + green", "red + blue", "green + blue")]
    assert [row["selection"] for row in numbers["selections"]] == names
    assert [curve["selection"] for curve in numbers["growth"]] == names
    assert numbers["selections"][0]["judge_worse"] is not None


def test_a_verifier_and_a_candidate_alone(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    make_run("one", np.ones((2, 1, 1)), guides=("red",), judges=())
    assert main(["study", "one"]) == 0
    numbers = json.loads((tmp_path / "one" / "study" / "study.json").read_text())
    (row,) = numbers["selections"]
    assert row["judge_worse"] is None and row["attained"] == {"red": None}
    assert numbers["spearman"] == [[None]] and numbers["agreement_by_chance"] == 1
    assert not (tmp_path / "one" / "study" / "growth.png").exists()
    page = (tmp_path / "one" / "study" / "study.html").read_text()
    assert "<svg" not in page


def test_without_matplotlib(run, tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    assert main(["study", "run", "--sizes", "1"]) == 0
    assert "no pictures: matplotlib is not installed" in capsys.readouterr().err
    names = {path.name for path in (tmp_path / "run" / "study").iterdir()}
    assert names == {"study.html", "study.json"}


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (
            ["--aggregators", "awr"],
            "unknown aggregator 'awr' (there are: arw, arw_adam, minmax, rank, "
            "weighted, zscore, zscore_candidate, zscore_history); did you mean 'arw'?",
        ),
        (["--aggregators", "arw", "arw"], "--aggregators names 'arw' twice"),
        (["--aggregators"], "--aggregators must name at least one of weighted, rank"),
        (
            ["--guides", "rde"],
            "unknown verifier 'rde' (the runs have: red, green, blue",
        ),
        (["--judges", "red"], "verifier 'red' must be named once, as guide or judge"),
        (["--guides"], "guides must name at least one of red, green, blue"),
        (["--sizes", "3"], "--sizes must be different numbers from 1 to 2, the number"),
        (["--sizes", "1,1"], "--sizes must be different numbers from 1 to 2"),
        (["--sizes"], "there would be 0 selections, must be 1 to 500"),
        (["--weights", "1,2,3"], "--weights must have one number for each guide, red,"),
        (["--weights", "1,-2"], "--weights must be numbers of at least 0, and not all"),
        (["--weights", "0,0"], "--weights must be numbers of at least 0, and not all"),
        (["--weights", "nan,1"], "--weights must be numbers of at least 0, and not"),
        (["--truth", "none.csv"], "truth none.csv does not exist, or is no file"),
        (["--truth", "a.csv,b.csv"], "truth must be one file for each of the 1 runs"),
        (["--out", "right.csv"], "--out right.csv exists and is no folder"),
        (["--out", ""], "--out is empty, or the present folder"),
        (["absent"], "RUN absent does not exist; name one"),
        (["."], "RUN . is not the folder of a run; name one"),
    ],
)
def test_bad_input(run, tmp_path, capsys, monkeypatch, flags, message):
    def work(*arguments):
        raise AssertionError("worked before the input was checked")

    monkeypatch.setattr(studying, "make_study", work)
    before = sorted(tmp_path.rglob("*"))
    assert main(["study", "run", *flags]) == 2
    printed = capsys.readouterr()
    (line,) = printed.err.splitlines()
    assert line.startswith(f"avits: error: {message}") and printed.out == ""
    assert sorted(tmp_path.rglob("*")) == before


def test_no_run(capsys):
    assert main(["study"]) == 2
    assert "RUN" in capsys.readouterr().err


def test_too_many_selections(tmp_path, capsys):
    guides = tuple("abcdefgh")
    make_run(tmp_path / "run", drawn(1, num_verifiers=8), guides=guides, judges=())
    assert main(["study", str(tmp_path / "run")]) == 2
    message = "there would be 1984 selections, must be 1 to 500: change --sizes"
    assert message in capsys.readouterr().err


def test_the_page_escapes_and_needs_nothing(tmp_path):
    attack = "<script>alert(1)</script>"
    make_run(tmp_path / "run", drawn(3), guides=("red", attack))
    kept = study.read_kept([tmp_path / "run"])
    selections = study.make_selections(kept.names, [0, 1], ["arw"])
    numbers = study.to_json(study.make_study(kept, selections), [attack])
    page = study_page.write_study_page(tmp_path, numbers).read_text("utf-8")
    assert "<script" not in page and "&lt;script" in page
    assert not re.findall(r"https?://|@import|url\(", page)
    # Three charts of rewards with three selections each.
    assert page.count("<path") == 9 and page.count("<svg") == 3


def test_pictures_hold_what_is_known(tmp_path):
    import matplotlib.image

    make_run(tmp_path / "run", drawn(3))
    kept = study.read_kept([tmp_path / "run"])
    selections = study.make_selections(kept.names, [0, 1], ["arw"])
    numbers = study.to_json(study.make_study(kept, selections))
    paths = study_plots.write_study_plots(tmp_path, numbers)
    assert [path.stem for path in paths] == ["success", "growth", "verifiers"]
    for path in paths:
        picture = matplotlib.image.imread(path)[..., :3]
        assert picture.std() > 0.05  # not blank

"""avits merge: shards with states of their own become one folder."""

import os
import shutil
from pathlib import Path

import numpy as np
import pytest

from avits_jax.cli import main
from avits_jax.runs import merge, read_records, read_run


@pytest.fixture
def shards(toy):
    """Three shards of six prompts."""
    for index in (1, 2, 3):
        assert toy(f"part{index}", "--shard", f"{index}/3", "--optimizer", "adam") == 0
    return [f"part{index}" for index in (1, 2, 3)]


def test_merged_folder_holds_all_shards(toy, shards, capsys):
    capsys.readouterr()
    assert main(["merge", *shards, "--out", "merged"]) == 0
    assert "6 prompts of 3 runs" in capsys.readouterr().out
    merged = list(read_records("merged"))
    assert [record.row for record in merged] == list(range(6))
    parts = [list(read_records(shard)) for shard in shards]
    for record in merged:
        mine = parts[record.row % 3][record.row // 3]
        assert (record.prompt, record.best) == (mine.prompt, mine.best)
        np.testing.assert_array_equal(record.rewards, mine.rewards)
        clip = Path(f"clips/sample_{record.row:04d}.mp4")
        original = shards[record.row % 3] / clip
        assert (Path("merged") / clip).read_bytes() == original.read_bytes()
    page = Path("merged/report.html").read_text()
    assert "6 of 6 prompts have a clip" in page and "merged from 3 runs" in page
    made = read_run("merged")
    assert made["runs"] == shards and "shard" not in made["settings"]
    assert toy("merged") == 2  # takes no prompts


def test_moments_are_those_of_all_rewards(shards):
    assert main(["merge", *shards, "--out", "merged"]) == 0
    learned = read_run("merged")["learned"]
    rewards = np.concatenate([r.rewards for r in read_records("merged")])
    assert learned["moments.num_rewards"] == [24, 24]
    np.testing.assert_allclose(learned["moments.mean"], rewards.mean(0), rtol=1e-5)
    m2 = np.square(rewards - rewards.mean(0)).sum(0)
    np.testing.assert_allclose(learned["moments.m2"], m2, rtol=1e-4)


def test_a_prior_counts_once(toy):
    prior = ["--prior-mean", "1,1", "--prior-std", "2,2", "--prior-count", "10"]
    for index in (1, 2):
        assert toy(f"part{index}", "--shard", f"{index}/2", *prior) == 0
    assert main(["merge", "part1", "part2", "--out", "merged"]) == 0
    learned = read_run("merged")["learned"]
    rewards = np.concatenate([r.rewards for r in read_records("merged")])
    assert learned["moments.num_rewards"] == [10 + 24] * 2
    mean = (10 + rewards.sum(0)) / 34
    np.testing.assert_allclose(learned["moments.mean"], mean, rtol=1e-4)


@pytest.mark.parametrize("aggregator", ["zscore_history", "rank"])
def test_other_aggregators_merge_too(toy, aggregator):
    for index in (1, 2):
        flags = ["--aggregator", aggregator, "--shard", f"{index}/2"]
        assert toy(f"part{index}", *flags, "--limit", "2") == 0
    assert main(["merge", "part1", "part2", "--out", "merged"]) == 0
    learned = read_run("merged")["learned"]
    assert learned == {} or learned["num_rewards"] == [8, 8]


def test_what_cannot_be_merged(toy, shards, capsys):
    assert toy("other", "--shard", "2/3", "--seed", "5", "--optimizer", "adam") == 0
    shutil.copytree("part1", "copy")
    shutil.copytree("part2", "lossy")
    os.unlink("lossy/clips/sample_0004.mp4")
    capsys.readouterr()
    for runs, message in [
        (["part1"], "runs must name at least two folders, got 1"),
        (["part1", "./part1"], "runs must differ"),
        (["part1", "nowhere"], "nowhere/run.json does not exist"),
        (["part1", "other"], "different settings: seed is 0 and 5"),
        (["part1", "copy"], "part1 and copy both hold row 0"),
        (["part1", "part2"], "these runs are not the whole: shard 3/3 is missing"),
        (
            ["part1", "lossy", "part3"],
            "sample_0004.mp4 is missing, though its record is there",
        ),
    ]:
        assert main(["merge", *runs, "--out", "merged"]) == 2
        assert f"avits: error: {message}" in capsys.readouterr().err.replace(
            "part1 and other are of ", ""
        ).replace("lossy/clips/", "")
        assert not os.path.exists("merged")
    Path("part1/keep").touch()
    assert main(["merge", *shards, "--out", "part1"]) == 2
    assert "part1 exists; name a new folder" in capsys.readouterr().err


def test_clips_are_copied_where_links_are_not_possible(tmp_path, monkeypatch):
    def no_links(*paths):
        raise OSError("no links")

    monkeypatch.setattr(os, "link", no_links)
    (tmp_path / "clips").mkdir()
    (tmp_path / "a.mp4").write_bytes(b"clip")
    merge._link(tmp_path / "a.mp4", tmp_path / "clips")
    assert (tmp_path / "clips" / "a.mp4").read_bytes() == b"clip"

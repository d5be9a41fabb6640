"""Rewards and truth read from folders and files, and what is refused of them."""

import json

import numpy as np
import pytest
from study_runs import drawn, make_run, write_truth

from avits_jax.study import read_kept, read_truth

NAN = np.nan


@pytest.fixture
def two(tmp_path):
    """A run with a failed candidate and two failed prompts, and one of fewer."""
    first = drawn(4)
    first[0, 1, 2] = NAN  # the judge alone has none
    first[3] = NAN
    make_run(tmp_path / "a", [first[0], None, first[2], first[3]])
    other = drawn(1, 2, seed=1)
    # The same verifiers, of which others guided.
    swapped = other[..., [2, 0, 1]]
    make_run(tmp_path / "b", swapped, guides=("blue",), judges=("red", "green"))
    return [tmp_path / "a", tmp_path / "b"], first, other


def test_runs_become_one_table(two):
    folders, first, other = two
    kept = read_kept(folders)
    assert kept.names == ("red", "green", "blue") and kept.num_guides == 2
    assert kept.rewards.shape == (3, 4, 3) and kept.rewards.dtype == np.float32
    assert kept.runs.tolist() == [0, 0, 1] and kept.rows.tolist() == [0, 2, 0]
    assert kept.lost == ({1, 3}, set())
    assert (kept.num_candidates, kept.num_failed) == (10, 1)
    assert kept.searches == ("best_of_n", "best_of_n")
    expected = np.full((3, 4, 3), NAN)
    expected[0, [0, 2, 3]] = first[0][[0, 2, 3]]
    expected[1], expected[2, :2] = first[2], other[0]
    np.testing.assert_array_equal(kept.rewards, expected)


def test_verifiers_can_be_chosen(two):
    folders, first, _ = two
    kept = read_kept(folders[:1], ["green"], ["red"])
    assert kept.names == ("green", "red") and kept.num_guides == 1
    assert kept.num_failed == 0  # by the one that is left out
    np.testing.assert_array_equal(kept.rewards[0], first[0][:, [1, 0]])
    assert read_kept(folders, ["blue"]).names == ("blue", "red", "green")
    assert read_kept(folders, judges=[]).names == ("red", "green")


def test_one_prompt_of_generate(tmp_path):
    candidate = {"calibrated": [0, 0], "rank": None, "score": None, "reason": None}
    values = [(1, [3.0, 4.0], False), (0, [1.0, 2.0], False), (2, [9.0, 9.0], True)]
    verifier = {"weight": 1.0, "sigma_before": None, "sigma_after": None}
    results = {
        "format": 1,
        "candidates": [
            candidate | {"index": index, "rewards": rewards, "failed": failed}
            for index, rewards, failed in values
        ],
        "verifiers": [
            verifier | {"name": "judge", "guides": False},
            verifier | {"name": "guide", "guides": True},
        ],
        "aggregator": {"name": "arw"},
        "best_index": 0,
        "clip": dict.fromkeys(("frames", "height", "width", "fps"), 1)
        | {"samples": 1, "sample_rate": 1},
        "cost": dict.fromkeys(("nfe", "decodes", "verifier_calls"), 0)
        | {"compile_seconds": 0, "run_seconds": 0},
        "settings": {},
        "versions": {},
        "seed": 0,
        **dict.fromkeys(("prompt", "model", "created", "device"), "x"),
    }
    (tmp_path / "results.json").write_text(json.dumps(results))
    kept = read_kept([tmp_path])
    assert kept.names == ("guide", "judge") and kept.num_failed == 1
    np.testing.assert_array_equal(kept.rewards, [[[2, 1], [4, 3], [NAN, NAN]]])


def test_runs_that_cannot_be_studied(two, tmp_path):
    folders, *_ = two
    make_run(tmp_path / "c", drawn(1, num_verifiers=2), judges=())
    make_run(tmp_path / "d", [None, np.full((2, 3), NAN)])
    (tmp_path / "empty").mkdir()
    for bad, message in (
        ([folders[0], tmp_path / "c"], "/c has verifiers red, green, but .*/a has red"),
        ([tmp_path / "d"], "RUN .*/d keeps no rewards: no candidate of its 2 prompts"),
        ([tmp_path / "empty"], "RUN .*/empty is not the folder of a run; name one"),
        ([tmp_path / "absent"], "RUN .*/absent does not exist; name one"),
    ):
        with pytest.raises(ValueError, match=message):
            read_kept(bad)
    for guides, judges, message in (
        (["rde"], None, r"unknown verifier 'rde' \(the runs have: red, green, blue\)"),
        (["red"], ["red"], "verifier 'red' must be named once"),
        ([], None, "guides must name at least one of red, green, blue"),
    ):
        with pytest.raises(ValueError, match=message):
            read_kept(folders, guides, judges)


def test_truth_finds_its_candidates(two, tmp_path):
    kept = read_kept(two[0])
    first = np.arange(16).reshape(4, 4) % 3 == 0
    files = [
        write_truth(tmp_path / "a.csv", first),
        write_truth(tmp_path / "b.csv", [[1, 0]]),
    ]
    truth = read_truth(files, kept)
    np.testing.assert_array_equal(truth[:2], first[[0, 2]])
    np.testing.assert_array_equal(truth[2], [1, 0, NAN, NAN])
    # A prompt that is not named has no truth; a failed candidate needs none.
    files[0].write_text("prompt,candidate,right\n0,0,1\n0,2,0\n0,3,0\n")
    truth = read_truth(files, kept)
    np.testing.assert_array_equal(truth[:2], [[1, NAN, 0, 0], [NAN] * 4])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("prompt,candidate\n", "one column 'right' .*it has: prompt, candidate"),
        ("prompt,candidate,right,right\n", "must have one column 'right'"),
        ("", "must have one column 'prompt'"),
        (
            "prompt,candidate,right\n0,0,yes\n",
            "line 2: right must be 0 or 1, got 'yes'",
        ),
        ("prompt,candidate,right\n0,0\n", "line 2: right must be 0 or 1, got ''"),
        ("prompt,candidate,right\n-1,0,1\n", "line 2: prompt must be a whole number"),
        ("prompt,candidate,right\n0,a,1\n", "line 2: candidate must be a whole number"),
        ("prompt,candidate,right\n0,4,1\n", "line 2: candidate is 4, must be 0 to 3"),
        ("prompt,candidate,right\n4,0,1\n", "line 2: the run has no prompt 4"),
        (
            "prompt,candidate,right\n0,0,1\n0,0,1\n",
            "line 3: prompt 0, candidate 0 again",
        ),
        ("prompt,candidate,right\n0,0,1\n", "says nothing of prompt 0, candidate 2"),
        ("prompt,candidate,right\n1,0,1\n", "truth names no prompt"),
        ('prompt,candidate,right\n"0', "malformed CSV"),
        (b"prompt,candidate,right\n\xff", "is not UTF-8"),
        (None, "does not exist, or is no file"),
    ],
)
def test_malformed_truth(two, tmp_path, text, message):
    kept = read_kept(two[0][:1])
    path = tmp_path / "truth.csv"
    if text is not None:
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(ValueError, match=message):
        read_truth([path], kept)


def test_truth_is_one_file_a_run(two, tmp_path):
    with pytest.raises(ValueError, match="one file for each of the 2 runs, got 1"):
        read_truth([tmp_path / "a.csv"], read_kept(two[0]))

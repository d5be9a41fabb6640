"""results.json: what is accepted, how it is ranked, what is said of bad files."""

import json

import pytest
from fake_run import fake_results

from avits_jax.media import write_json
from avits_jax.report import load_results, ranked_rows


def test_reads_a_folder_or_the_file(tmp_path):
    results = fake_results(4)
    path = write_json(tmp_path / "results.json", results)
    assert load_results(tmp_path) == load_results(path) == results


def test_rows_follow_ranks_and_failures_come_last():
    results = fake_results(16)
    rows = ranked_rows(results)
    assert [row.rank for row in rows] == [*range(1, 16), None]
    assert [row.best for row in rows] == [True] + [False] * 15
    assert rows[0].index == results["best_index"]
    scores = [row.score for row in rows[:-1]]
    assert scores == sorted(scores, reverse=True)
    assert rows[-1].failed and rows[-1].reason == "mini_ta gave NaN"
    assert rows[-1].rewards == (0.61, None, -0.2)


def without(name):
    return lambda results: results.pop(name)


def put(*keys, value):
    def change(results):
        for key in keys[:-1]:
            results = results[key]
        results[keys[-1]] = value

    return change


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (without("format"), "holds no results of a run"),
        (put("format", value=2), "has format 2; this version reads format 1"),
        (without("prompt"), "'prompt' is missing"),
        (put("seed", value="7"), "'seed' is of type str"),
        (put("candidates", 0, value=3), "candidates: expected an object"),
        (put("candidates", 0, "rewards", value=[1.0]), "do not match its 3 verifiers"),
        (put("candidates", 0, "rewards", 1, value="x"), "a reward that is no number"),
        (put("candidates", value=[]), "no verifiers or no candidates"),
        (put("sigma_history", value=[[1.0]]), "do not match its 3 verifiers"),
        (lambda results: results["clip"].pop("fps"), "clip: 'fps' is missing"),
        (lambda results: results["cost"].pop("nfe"), "cost: 'nfe' is missing"),
    ],
)
def test_other_formats_are_refused(tmp_path, change, message):
    results = fake_results(4)
    change(results)
    write_json(tmp_path / "results.json", results)
    with pytest.raises(ValueError, match=message) as caught:
        load_results(tmp_path)
    assert "results.json" in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize("data", [b"{", b"\xff\xfe", b""])
def test_not_json(tmp_path, data):
    (tmp_path / "results.json").write_bytes(data)
    with pytest.raises(ValueError, match="is not JSON"):
        load_results(tmp_path)


def test_json_of_something_else(tmp_path):
    (tmp_path / "results.json").write_text(json.dumps([1, 2]))
    with pytest.raises(ValueError, match="holds no results"):
        load_results(tmp_path)


def test_missing(tmp_path):
    with pytest.raises(ValueError, match="does not exist"):
        load_results(tmp_path)

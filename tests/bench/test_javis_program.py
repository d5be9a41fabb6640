"""JavisBench's own program: golden, files, and where it stops."""

import csv
import json
import math
from dataclasses import replace

import numpy as np
import pytest
from goldens import assert_golden, golden_cases

from avits_jax.bench.categories import members
from avits_jax.bench.javis_files import javis_json, write_javis_files
from avits_jax.bench.javis_program import GROUPS, Inputs, Options, run_program
from avits_jax.bench.prompt_rows import PromptRows

_COLUMNS = ("text", *(f"cat{aspect}_ind" for aspect in range(5)))
_COUNT = 6


@pytest.fixture
def inputs():
    labels = [str(row % 3) for row in range(_COUNT)]
    rows = [
        dict(zip(_COLUMNS, (f"prompt, {row}", *[label] * 5), strict=True))
        for row, label in enumerate(labels)
    ]
    rng = np.random.default_rng(0)
    keys = [key for items in list(GROUPS.values())[1:] for key in items]
    scores = {key: rng.normal(size=_COUNT).astype(np.float32) for key in keys}
    sets = [
        {"i3d": rng.normal(size=(_COUNT, 3)), "audioclip": rng.normal(size=(_COUNT, 2))}
        for _ in range(2)
    ]
    return Inputs(PromptRows(_COLUMNS, rows), "clips", scores, *sets)


@pytest.mark.parametrize("golden", golden_cases("benchmarks", "javisbench_end_to_end"))
def test_every_scenario_of_the_program_meets_the_golden(golden):
    assert len(golden.info["scenarios"]) == 11
    assert_golden(golden)


def test_files_are_rewritten_after_every_group_and_finished_ones_are_passed_over(
    inputs, tmp_path
):
    path = tmp_path / "run.json"
    options = Options(("desync", "av-align"), save_avalign_scores=True)
    lines = write_javis_files(path, inputs, options)
    found = json.loads(path.read_text())
    assert list(found) == ["desync", "av_align"]
    assert found["desync"] == pytest.approx(inputs.scores["desync"].mean(), abs=1e-6)
    assert lines == [f"desync: {found['desync']:.4f}; ", lines[1]]
    table = list(csv.DictReader((tmp_path / "run_avalign.csv").open()))
    assert table[2]["text"] == "prompt, 2"
    assert table[2]["pred_audio_path"] == "clips/sample_0002.wav"
    assert np.float32(table[2]["desync_scores"]) == inputs.scores["desync"][2]
    again = write_javis_files(path, inputs, Options(("desync", "av-score")))
    assert again[0] == "desync calculated. skip."
    assert list(json.loads(path.read_text())) == [*found, "avh_score", "javis_score"]


def test_distances_are_of_the_rows_that_both_sets_have(inputs):
    options = Options(("fvd+kvd+fad",))
    short = {name: rows[:4] for name, rows in inputs.real.items()}
    *_, fewer = run_program(replace(inputs, real=short), options)
    *_, same = run_program(inputs, options._replace(eval_num=4))
    assert fewer.results == same.results


def test_one_failed_clip_makes_its_means_nan_as_in_the_program(inputs):
    inputs.scores["desync"][1] = np.nan
    *_, step = run_program(inputs, Options(("desync",), verbose=True))
    assert step.line == "desync: nan; "
    assert math.isnan(step.results["desync"]["0"][1])
    assert not math.isnan(step.results["desync"]["0"][0])
    assert "NaN" in javis_json(step.results)


def test_what_was_written_stands_where_a_later_group_fails(inputs, tmp_path):
    path = tmp_path / "run.json"
    rows = [row | {"cat1_ind": "0"} for row in inputs.prompts.rows]
    short = replace(inputs, prompts=PromptRows(_COLUMNS, rows))
    with pytest.raises(
        ValueError, match="category 'industrial' of the event scenario has 0"
    ):
        write_javis_files(path, short, Options(("desync", "fvd+kvd+fad"), verbose=True))
    assert list(json.loads(path.read_text())) == ["desync"]


@pytest.mark.parametrize(
    "options, message",
    [
        (Options("all"), "metrics must be groups among .* got 'a'"),
        (Options(("sound",)), "got 'sound'"),
    ],
)
def test_unknown_groups_are_refused(inputs, options, message):
    with pytest.raises(ValueError, match=message):
        list(run_program(inputs, options))


def test_a_score_that_is_not_there_or_too_short_is_named(inputs):
    inputs.scores["desync"] = inputs.scores["desync"][:3]
    with pytest.raises(ValueError, match="desync must have 6 scores, got 3"):
        list(run_program(inputs, Options(("desync",))))
    del inputs.scores["desync"]
    with pytest.raises(ValueError, match="scores must hold 'desync'"):
        list(run_program(inputs, Options(("desync",))))


def test_a_file_that_is_no_such_json_is_left_alone(inputs, tmp_path):
    path = tmp_path / "run.json"
    path.write_text("[1]")
    with pytest.raises(ValueError, match="no results of JavisBench: no object"):
        write_javis_files(path, inputs, Options())
    assert path.read_text() == "[1]"


def test_a_row_counts_in_every_category_that_it_names():
    rows = [{f"cat{a}_ind": "0, 2" for a in range(5)}]
    assert [[len(c) for c in aspect] for aspect in members(rows)] == [
        [1, 0, 1, 0, 0],
        [1, 0, 1],
        [1, 0, 1, 0, 0],
        [1, 0, 1],
        [1, 0, 1],
    ]


@pytest.mark.parametrize("label", ["", "3", "-1", "0,,1", "x"])
def test_labels_that_are_none_are_refused(label):
    rows = [{f"cat{a}_ind": "0" for a in range(5)} | {"cat1_ind": label}]
    with pytest.raises(ValueError, match="cat1_ind of row 0 must hold numbers from 0"):
        members(rows)


def test_a_row_without_the_column_is_refused():
    with pytest.raises(ValueError, match="row 0 has no column 'cat0_ind'"):
        members([{}])

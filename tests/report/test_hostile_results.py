"""results.json of other hands: a page, or one line that names the field."""

import json
import random

import pytest
from fake_run import fake_results
from json_mutants import json_mutant

from avits_jax.cli import main
from avits_jax.media import write_json
from avits_jax.report import load_results, write_report

HUGE = 10**400


def put(*keys, value):
    def change(results):
        for key in keys[:-1]:
            results = results[key]
        if value is ...:
            del results[keys[-1]]
        else:
            results[keys[-1]] = value

    return change


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (put("verifiers", 1, "sigma_after", value=HUGE), "'sigma_after' is 1000"),
        (put("verifiers", 1, "sigma_after", value=...), "'sigma_after' is missing"),
        (
            put("candidates", 3, "calibrated", 2, value=HUGE),
            "a reward that is no number",
        ),
        (put("candidates", 0, "score", value="x"), "'score' is of type str"),
        (put("candidates", 0, "index", value=HUGE), "'index' is 1000"),
        (put("candidates", 0, "rank", value=True), "'rank' is of type bool"),
        (
            put("clip", "frames", value=0),
            "'frames' is 0 (of type int), must be a whole",
        ),
        (
            put("clip", "fps", value=0),
            "'fps' is 0 (of type int), must be a number above",
        ),
        (put("cost", "run_seconds", value=1e39), "'run_seconds' is 1e+39"),
        (put("aggregator", "name", value=...), "aggregator: 'name' is missing"),
        (put("seed", value=True), "'seed' is of type bool"),
        (put("notices", value="x"), "'notices' is of type str"),
        (put("sigma_history", value=[[1, 2, -1]]), "'sigma_history' is of type list"),
        (
            put("settings", value=json.loads("[" * 70 + "]" * 70)),
            "deeper than 64 levels",
        ),
    ],
)
def test_wrong_values_are_named(tmp_path, capsys, change, message):
    results = fake_results(4)
    change(results)
    (tmp_path / "results.json").write_text(json.dumps(results))
    assert main(["report", str(tmp_path)]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert message in line and "results.json" in line


def test_lone_surrogates_are_written_escaped(tmp_path):
    results = fake_results(4, prompt="\ud800 <b>")
    write_json(tmp_path / "results.json", results)
    assert load_results(tmp_path) == results
    assert "\\ud800 &lt;b&gt;" in write_report(tmp_path).read_text("utf-8")


def test_very_small_sigmas_have_a_chart(tmp_path):
    results = fake_results(4) | {"sigma_history": [[5e-324] * 3, [1000.0, 0, None]]}
    write_json(tmp_path / "results.json", results)
    assert write_report(tmp_path).is_file()


@pytest.mark.parametrize(
    "count", [60, pytest.param(2000, marks=pytest.mark.slow)], ids=["few", "many"]
)
@pytest.mark.filterwarnings("error")
def test_mutants_have_a_page_or_are_refused(tmp_path, count):
    chance, seed, shown = random.Random(0), fake_results(3), 0
    for _ in range(count):
        content = json.dumps(json_mutant(seed, chance))
        (tmp_path / "results.json").write_text(content)
        try:
            write_report(tmp_path)
            shown += 1
        except ValueError as error:
            assert "results.json" in str(error) and "\n" not in str(error)
    assert 0 < shown < count

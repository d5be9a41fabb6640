"""Numbers and page of a run, against numbers computed by hand."""

import re

import numpy as np
import pytest
from test_run_folder import facts
from test_run_records import record

from avits_jax.report import write_run_report
from avits_jax.report.domination import domination
from avits_jax.report.first_candidates import first_of_run
from avits_jax.report.run_charts import over_prompts
from avits_jax.runs import RunFolder, gains, read_run, summarise


def made(**changes):
    return facts(search="smc", model="toy", aggregator="arw") | changes


@pytest.fixture
def run(tmp_path):
    """Three prompts: one done, one with a failed candidate, one refused."""
    seen = made(verifiers=["red"], judges=["<b>"])
    with RunFolder(tmp_path / "run", seen) as folder:
        one = record([[1], [3]], [[5], [4]], best=1, sigmas=(0.5,))
        two = record([[2], [6], [np.nan]], [[1], [2], [9]], best=1, sigmas=(1.0,))
        bad = record(
            np.zeros((0, 0)), status="refused", reason="<i>", best=-1, sigmas=(1.0,)
        )
        changes = {"nfe": 0, "decodes": 0, "verifier_calls": 0, "row": 1}
        folder.append(one, 1.0)
        folder.append(type(bad)(**_fields(bad) | changes), 0.5)
        folder.append(type(two)(**_fields(two) | {"row": 2}), 2.0)
    return tmp_path / "run"


def _fields(one):
    return {name: getattr(one, name) for name in type(one).__slots__}


def test_summary(run):
    summary = summarise(run)
    np.testing.assert_array_equal(summary.rows, [0, 2])
    np.testing.assert_array_equal(summary.chosen, [[3, 4], [6, 2]])
    # A failed candidate takes no part, not even with the rewards that it has.
    np.testing.assert_array_equal(summary.mean, [[2, 4.5], [4, 1.5]])
    np.testing.assert_array_equal(summary.spread, [[1, 0.5], [2, 0.5]])
    np.testing.assert_array_equal(summary.sigmas, [[0.5], [1]])
    assert summary.counts == {"done": 2, "refused": 1}
    assert (summary.nfe, summary.decodes, summary.verifier_calls) == (16, 4, 8)
    np.testing.assert_array_equal(summary.gained, [[1, -0.5], [2, 0.5]])
    assert (summary.num_candidates, summary.most_candidates) == (5, 3)
    assert summary.seconds == 3.5
    assert [failure.row for failure in summary.failures] == [1]


def test_gains(run):
    guide, judge = gains(summarise(run), ["red"], ["<b>"])
    assert (guide.guides, judge.guides) == (True, False)
    assert (guide.mean, guide.chosen, guide.gain, guide.better) == (3, 4.5, 1.5, 1)
    half = 1.96 * np.std([1, 2], ddof=1) / np.sqrt(2)
    np.testing.assert_allclose(guide.error, half)
    np.testing.assert_allclose(guide.spreads, 1.5 / np.sqrt((1 + 4) / 2))
    assert (judge.gain, judge.better) == (0, 0.5)


def test_page(run):
    page = write_run_report(run).read_text("utf-8")
    text = " ".join(re.sub(r"<[^>]+>", " ", page).split())
    assert "2 of 3 prompts have a clip" in text and "1 prompt failed" in text
    assert "&lt;b&gt; (did not guide)" in text and "&lt;i&gt;" in text
    assert "<b>" not in page and "<i>" not in page
    assert "+1.500" in text and "3.000" in text
    assert not re.findall(r"https?://|<script|url\(", page)
    # Two charts of rewards with two lines each, one of sigma.
    assert page.count("<path") == 5


def test_nobody_worse_and_some_judge_worse(run):
    summary = summarise(run)
    found = domination(summary.gained, 1)
    assert found.nobody == (0.5, 0, 1) and found.some_judge == (0.5, 0, 1)
    assert found.no_guide == (1, 1, 1) and found.num_prompts == 2
    unjudged = np.where([[False, True], [False, False]], np.nan, summary.gained)
    assert domination(unjudged, 1).num_prompts == 1
    assert domination(summary.gained[:, :1], 1).some_judge is None
    assert domination(summary.gained[:0], 1) is None
    text = re.sub(r"<[^>]+>", " ", write_run_report(run).read_text("utf-8"))
    assert "Some judge does 50% 0 to 100%" in " ".join(text.split())
    assert text.index("Guides") < text.index("Judges: they did not guide")


# By the judge's column one sees which candidate was chosen.
TABLE = [[0.0, 50.0], [1.0, 0.0], [0.9, 40.0], [np.nan, 99.0]]
JUDGED = [[0], [1], [2], [3]]


@pytest.mark.parametrize(
    ("settings", "sigmas", "chosen"),
    [
        ({"aggregator": "weighted"}, (None, None), [0, 0, 0]),
        ({"aggregator": "arw"}, (1.0, 100.0), [0, 1, 2]),
        ({"aggregator": "arw", "weights": [1.0, 0.0]}, (1.0, 100.0), [0, 1, 1]),
        ({"aggregator": "zscore", "std": [1.0, 100.0]}, (None, None), [0, 1, 2]),
        ({"aggregator": "minmax", "weights": [1.0, 0.9]}, (None, None), [0, 1, 2]),
    ],
)
def test_what_the_first_candidates_would_have_given(tmp_path, settings, sigmas, chosen):
    seen = made(verifiers=["red", "green"], judges=["blue"])
    seen["settings"] = settings | {"search": "best_of_n"}
    with RunFolder(tmp_path / "run", seen) as folder:
        for row in (0, 1):
            # The judge has nothing to say of the second prompt.
            judged = np.array(JUDGED) + (np.nan if row else 0)
            one = record(TABLE, judged, best=2, sigmas=sigmas, row=row)
            folder.append(one, 1.0)
    first = first_of_run(folder.path, read_run(folder.path), 4)
    assert first.counts == [1, 2, 4]
    np.testing.assert_array_equal(first.rewards[:, 2], chosen)
    np.testing.assert_allclose(first.rewards[:, :2], np.array(TABLE)[chosen])
    page = write_run_report(folder.path).read_text("utf-8")
    assert "Reward of blue with 1, 2, 4 candidates" in page


@pytest.mark.parametrize(
    "settings",
    [
        {"search": "smc"},
        {"aggregator": "my own"},
        {"weights": [1.0]},
        {"weights": [0.0, 0.0]},
        {"weights": "equal"},
        {"std": [1.0, None]},
    ],
)
def test_nothing_is_said_of_the_first_candidates(tmp_path, settings):
    usual = {"search": "best_of_n", "aggregator": "weighted"}
    facts_of_run = {"verifiers": ["a", "b"], "judges": [], "settings": usual | settings}
    assert first_of_run(tmp_path, facts_of_run, 4) is None


def test_page_of_a_run_without_results(tmp_path):
    with RunFolder(tmp_path / "run", made()) as folder:
        page = write_run_report(folder.path).read_text("utf-8")
    assert "0 of 0 prompts" in page and "<svg" not in page


def test_long_runs_are_drawn_in_groups():
    rows = np.arange(1000)
    chart = over_prompts(rows, np.stack([rows, rows * 0 + np.nan], axis=1))
    assert chart.paths[0].count("L") == 119 and chart.paths[1] == ""
    assert chart.per_point == 9 and (chart.first, chart.last) == (0, 999)
    assert chart.low < 0 and chart.high > 990
    points = np.array([p.split() for p in re.split("[ML]", chart.paths[0])[1:]], float)
    np.testing.assert_allclose(points[[0, -1], 0], [0, 100])
    slope, height = np.polyfit(*points.T, 1)
    np.testing.assert_allclose(points[:, 1], slope * points[:, 0] + height, atol=0.02)
    assert slope < 0  # SVG counts downwards
    np.testing.assert_allclose(points[0, 1] + points[-1, 1], 100, atol=0.1)
    assert over_prompts(rows[:1], np.zeros((1, 1))) is None
    constant = over_prompts(rows, np.full((1000, 1), 3.0), zero=True)
    assert constant.low == 0 and constant.high > 3

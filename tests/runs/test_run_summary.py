"""Numbers and page of a run, against numbers computed by hand."""

import re

import numpy as np
import pytest
from test_run_folder import facts
from test_run_records import record

from avits_jax.report import write_run_report
from avits_jax.report.run_charts import over_prompts
from avits_jax.runs import RunFolder, gains, summarise


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
    assert summary.num_candidates == 5 and summary.seconds == 3.5
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

"""Bars add up to the score, lines keep to their box."""

import numpy as np
import pytest
from fake_run import fake_results

from avits_jax.report import ranked_rows
from avits_jax.report.charts import contributions, lines


def test_bars_are_score_less_mean_score():
    rows = ranked_rows(fake_results(16))
    stacks = contributions(rows, [1 / 3] * 3)
    scores = np.array([row.score for row in rows if not row.failed])
    totals = [bar.total for bar in stacks.bars]
    np.testing.assert_allclose(totals, scores - scores.mean(), atol=1e-9)


def test_segments_fill_the_axis_without_overlap():
    stacks = contributions(ranked_rows(fake_results(16)), [0.2, 0.3, 0.5])
    edges = []
    for bar in stacks.bars:
        signed = sum(np.sign(s.value) * s.width for s in bar.segments)
        assert bar.total_at == pytest.approx(stacks.zero + signed)
        spans = sorted((s.left, s.left + s.width) for s in bar.segments)
        pairs = zip(spans, spans[1:], strict=False)
        assert all(one[1] <= other[0] + 1e-9 for one, other in pairs)
        edges += [spans[0][0], spans[-1][1]]
    assert 0 <= min(edges) < 2 and 98 < max(edges) <= 100


def test_one_candidate_and_none():
    one = contributions(ranked_rows(fake_results(2)), [1.0, 1.0, 1.0])
    assert len(one.bars) == 1 and one.zero == 50 == one.bars[0].total_at
    results = fake_results(2)
    results["candidates"] = results["candidates"][1:]
    assert contributions(ranked_rows(results), [1.0] * 3).bars == ()


def test_lines_scale_and_break():
    chart = lines([[1.0, 4.2], [None, 2.1], [0.5, 0.0]])
    assert chart.top == 5.0 and chart.count == 3 and chart.last == (0.5, 0.0)
    assert chart.paths == (
        "M0.00 80.00 M100.00 90.00",
        "M0.00 16.00 L50.00 58.00 L100.00 100.00",
    )

"""The arithmetic of tools/compare_searches.py, on rewards made up."""

import io

import numpy as np
import pytest
from rich.console import Console

from tools.compare_tables import Found, Scale, fidelity, kept, row_of, show

PROMPTS, CANDIDATES, VERIFIERS = 12, 16, 3


@pytest.fixture
def sixteen() -> Found:
    """Best-of-16 by the mean of rewards that share a scale."""
    rewards = np.random.default_rng(0).normal(size=(PROMPTS, CANDIDATES, VERIFIERS))
    best = Scale(rewards).scores(rewards).argmax(1)
    winners = rewards[np.arange(PROMPTS), best]
    costs = np.tile([768.0, 16.0, 48.0, 1e9], (PROMPTS, 1))
    return Found(winners, np.ones(PROMPTS), costs, np.full(PROMPTS, 2.0), rewards)


def test_best_of_16_keeps_all_of_its_gain(sixteen):
    row = row_of("best-of-16", sixteen, sixteen, None)
    assert (row["kept"], row["kept_low"], row["kept_high"]) == (1.0, 1.0, 1.0)
    assert row["nfe"] == 768 and row["seconds_of_16"] == 1.0 and row["right"] == 1.0


def test_the_mean_candidate_gains_nothing(sixteen):
    average = sixteen._replace(winners=sixteen.candidates.mean(1), seconds=np.ones(12))
    row = row_of("average", average, sixteen, sixteen)
    assert row["kept"] == pytest.approx(0, abs=1e-12)
    assert row["kept_of_64"] == pytest.approx(0, abs=1e-12)
    assert row["seconds_of_16"] == 0.5


def test_unit_and_shift_of_a_verifier_do_not_matter(sixteen):
    moved = sixteen._replace(
        candidates=sixteen.candidates * 77 - 5, winners=sixteen.winners * 77 - 5
    )
    gains = Scale(moved.candidates).gain(moved.winners)
    np.testing.assert_allclose(gains, Scale(sixteen.candidates).gain(sixteen.winners))


def test_intervals_keep_prompts_in_pairs():
    of = np.linspace(1, 9, 30)
    assert kept(of / 2, of) == pytest.approx((0.5, 0.5, 0.5))


def test_fidelity_looks_at_the_drafted_prompts_alone(sixteen):
    drafted = sixteen._replace(candidates=sixteen.candidates[:5])
    row = fidelity("same", 24, drafted, sixteen)
    assert (row["spearman"], row["same_winner"]) == (pytest.approx(1), 1)
    assert row["prompts"] == 5
    reversed_ = drafted._replace(candidates=-drafted.candidates)
    assert fidelity("opposite", 24, reversed_, sixteen)["spearman"] < -0.9


def test_tables_name_every_search(sixteen):
    rows = [row_of("best-of-16", sixteen, sixteen, None)]
    drafts = [fidelity("half the steps", 24, sixteen, sixteen)]
    console = Console(file=io.StringIO(), width=170)
    show(console, rows, drafts, PROMPTS)
    shown = console.file.getvalue()
    assert "best-of-16" in shown and "half the steps" in shown and "12 prompts" in shown

"""Budgets, and settings that are refused before anything is traced."""

import jax
import pytest

from avits_jax.search import (
    BeamOptions,
    EvoOptions,
    SMCOptions,
    ZeroOrderOptions,
    best_of_n_candidates,
    best_of_n_cost,
    evosearch_cost,
    evosearch_within,
    largest_within,
    zero_order_cost,
)


def test_best_of_n_budget(toy):
    """Six steps of two evaluations: 12 a candidate."""
    assert best_of_n_candidates(12, toy.generator) == 1
    assert best_of_n_candidates(12 * 17 - 1, toy.generator) == 16
    assert best_of_n_cost(toy.generator, 2, 16) == (192, 16, 32, None)
    with pytest.raises(ValueError, match="max_nfe must be at least 12, .* got 11"):
        best_of_n_candidates(11, toy.generator)


def test_any_search_can_be_sized_by_its_cost(toy):
    def cost(num_iterations):
        return zero_order_cost(toy.generator, 1, 4, num_iterations)

    assert largest_within(150, cost) == 3
    with pytest.raises(ValueError, match="cost must grow"):
        largest_within(150, lambda size: cost(1))


def test_evosearch_budget_chooses_generations(toy):
    plan = toy.generator, (0, 3), (4, 5, 3)
    whole = evosearch_cost(plan[0], 1, *plan[1:]).nfe
    assert whole == 2 * (4 * 6 + 3 * 6 + 1 * 3)
    assert evosearch_within(whole, *plan) == ((0, 3), (4, 5, 3))
    assert evosearch_within(whole - 1, *plan) == ((0,), (4, 5))
    assert evosearch_within(48, *plan) == ((), (4,))
    with pytest.raises(ValueError, match="max_nfe must be at least 48"):
        evosearch_within(47, *plan)


REFUSED = [
    ("best_of_n", {"num_candidates": 0}, "num_candidates must be at least 1, got 0"),
    ("best_of_n", {"candidate_batch": 0}, "candidate_batch must be at least 1, got 0"),
    ("evosearch", {"schedule": (0, 6)}, "schedule must not go beyond step 5"),
    ("evosearch", {"schedule": (3, 3)}, "schedule must increase strictly"),
    ("evosearch", {"schedule": (-1, 3)}, "every step of schedule must be at least 0"),
    ("evosearch", {"schedule": (0,)}, r"one entry more than schedule \(2\)"),
    ("evosearch", {"population_sizes": (4, 2, 4)}, "population_sizes must leave room"),
    ("evosearch", {"population_sizes": (1, 4, 4)}, "population_sizes must leave room"),
    ("evosearch", {"options": EvoOptions(num_elites=0)}, "num_elites must be at least"),
    ("evosearch", {"options": EvoOptions(tournament_ratio=0)}, "tournament_ratio"),
    ("evosearch", {"options": EvoOptions(tournament_ratio=1.1)}, "tournament_ratio"),
    ("evosearch", {"candidate_batch": 0}, "candidate_batch"),
    ("smc", {"num_candidates": -1}, "num_candidates must be at least 1, got -1"),
    ("smc", {"resample_steps": (2, 1)}, "resample_steps must increase strictly"),
    ("smc", {"resample_steps": (9,)}, "resample_steps must not go beyond step 5"),
    ("smc", {"options": SMCOptions(strength=0.0)}, "strength must be above 0"),
    ("smc", {"options": SMCOptions(ess_threshold=2.0)}, "ess_threshold"),
    ("smc", {"options": SMCOptions(eta=-0.1)}, r"eta must lie in \[0, 1\]"),
    ("smc", {"candidate_batch": -1}, "candidate_batch"),
    ("beam_search", {"num_beams": 0}, "num_beams must be at least 1"),
    ("beam_search", {"num_children": 0}, "num_children must be at least 1"),
    ("beam_search", {"options": BeamOptions(branch_steps=(5,))}, "beyond step 4"),
    ("beam_search", {"options": BeamOptions(lookahead=0)}, "lookahead"),
    ("beam_search", {"options": BeamOptions(eta=0.0)}, "eta"),
    ("zero_order", {"num_iterations": 0}, "num_iterations must be at least 1"),
    ("zero_order", {"options": ZeroOrderOptions(rate=0.0)}, "rate must lie in"),
    ("pruned_best_of_n", {"rungs": ((1, 7), (3, 2))}, "must fall from num_candidates"),
    ("pruned_best_of_n", {"rungs": ((1, 2), (3, 2))}, "must fall from num_candidates"),
    ("pruned_best_of_n", {"rungs": ((3, 4), (1, 2))}, "rungs must increase strictly"),
    ("pruned_best_of_n", {"rungs": ((6, 4),)}, "rungs must not go beyond step 5"),
    ("pruned_best_of_n", {"rungs": ((1, 0),)}, "kept by each of rungs must be at"),
    ("draft_best_of_n", {"num_kept": 0}, "num_kept must be at least 1, got 0"),
    ("draft_best_of_n", {"num_kept": 6}, "num_kept must be at most .* = 5, got 6"),
    ("adaptive_best_of_n", {"chunk": 3}, "multiple of chunk = 3, got 10"),
    ("adaptive_best_of_n", {"chunk": 0}, "chunk must be at least 1, got 0"),
    ("adaptive_best_of_n", {"tolerance": -0.1}, "tolerance must be at least 0 .* -0.1"),
    ("adaptive_best_of_n", {"tolerance": float("nan")}, "tolerance .* got nan"),
    ("adaptive_best_of_n", {"candidate_batch": 0}, "candidate_batch"),
    ("pruned_best_of_n", {"candidate_batch": 0}, "candidate_batch"),
]


@pytest.mark.parametrize(("name", "change", "message"), REFUSED)
def test_bad_settings_are_refused(name, change, message, cases, toy):
    case = cases[name]
    case = case._replace(settings=case.settings | change)
    with pytest.raises(ValueError, match=message):
        case.bind(toy)(toy.params, jax.random.key(0), toy.cond, None)
    with pytest.raises(ValueError, match=message):
        case.predicted_cost(toy)


@pytest.mark.parametrize("value", [2.0, True, "3"])
def test_counts_must_be_integers(value, toy):
    with pytest.raises(TypeError):
        best_of_n_cost(toy.generator, 1, value)

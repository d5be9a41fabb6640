"""Searches: pure functions from (params, key, cond, state) to a `SearchOutput`."""

from avits_jax.search.adaptive import adaptive_best_of_n, adaptive_best_of_n_cost
from avits_jax.search.beam import BeamOptions, beam_cost, beam_search
from avits_jax.search.best_of_n import (
    best_of_n,
    best_of_n_candidates,
    best_of_n_cost,
)
from avits_jax.search.cost import Cost, largest_within
from avits_jax.search.draft import draft_best_of_n, draft_best_of_n_cost
from avits_jax.search.evosearch import (
    EvoOptions,
    evosearch,
    evosearch_cost,
    evosearch_within,
)
from avits_jax.search.exporting import register_contracts
from avits_jax.search.gradient_guidance import guide_by_gradient
from avits_jax.search.guided_parts import share_with_guides
from avits_jax.search.keys import candidate_keys
from avits_jax.search.operators import level_mutation, reference_mutation
from avits_jax.search.pruned import PrunedOptions, pruned_best_of_n, pruned_cost
from avits_jax.search.refine import refine, refine_cost
from avits_jax.search.resampling import (
    effective_sample_size,
    multinomial,
    systematic,
)
from avits_jax.search.select import select
from avits_jax.search.smc import (
    SMCOptions,
    difference_potential,
    max_potential,
    smc,
    smc_cost,
    sum_potential,
)
from avits_jax.search.zero_order import ZeroOrderOptions, zero_order, zero_order_cost

__all__ = [
    "BeamOptions",
    "Cost",
    "EvoOptions",
    "PrunedOptions",
    "SMCOptions",
    "ZeroOrderOptions",
    "adaptive_best_of_n",
    "adaptive_best_of_n_cost",
    "beam_cost",
    "beam_search",
    "best_of_n",
    "best_of_n_candidates",
    "best_of_n_cost",
    "candidate_keys",
    "difference_potential",
    "draft_best_of_n",
    "draft_best_of_n_cost",
    "effective_sample_size",
    "evosearch",
    "evosearch_cost",
    "evosearch_within",
    "guide_by_gradient",
    "largest_within",
    "level_mutation",
    "max_potential",
    "multinomial",
    "pruned_best_of_n",
    "pruned_cost",
    "reference_mutation",
    "refine",
    "refine_cost",
    "select",
    "share_with_guides",
    "smc",
    "smc_cost",
    "sum_potential",
    "systematic",
    "zero_order",
    "zero_order_cost",
]

register_contracts()

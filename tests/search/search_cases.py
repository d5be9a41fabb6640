"""Every search with settings to try it on, and every aggregator."""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import chex
import jax.numpy as jnp

from avits_jax import aggregation
from avits_jax.aggregation import zscore_history
from avits_jax.search import (
    BeamOptions,
    SMCOptions,
    adaptive_best_of_n,
    adaptive_best_of_n_cost,
    beam_cost,
    beam_search,
    best_of_n,
    best_of_n_cost,
    draft_best_of_n,
    draft_best_of_n_cost,
    evosearch,
    evosearch_cost,
    pruned_best_of_n,
    pruned_cost,
    smc,
    smc_cost,
    zero_order,
    zero_order_cost,
)
from avits_jax.types import Aggregator

AGGREGATOR = zscore_history([0.7, 0.3])


class Case(NamedTuple):
    """One search with its settings."""

    search: Callable[..., Any]
    cost: Callable[..., Any]
    settings: dict[str, Any]

    def but(self, **settings) -> "Case":
        """Return this case with other settings."""
        return self._replace(settings=self.settings | settings)

    def for_toy(self, toy) -> dict[str, Any]:
        """Return the settings; a search of drafts takes the toy's."""
        drafts = self.search is draft_best_of_n
        return self.settings | ({"draft": toy.generator.drafts[0]} if drafts else {})

    def bind(self, toy, aggregator=AGGREGATOR) -> Callable[..., Any]:
        """Return ``(params, key, cond, state) -> SearchOutput``, not compiled."""
        parts = {
            "generator": toy.generator,
            "verifiers": toy.verifiers,
            "aggregator": aggregator,
        }
        return functools.partial(self.search, **(parts | self.for_toy(toy)))

    def as_drawn(self, output) -> "Case":
        """Return the case of as many candidates as were drawn, where one may stop."""
        if self.search is not adaptive_best_of_n:
            return self
        return self.but(num_candidates=int(output.valid.sum()))

    def predicted_cost(self, toy) -> Any:
        """Return the predicted cost."""
        settings = {k: v for k, v in self.for_toy(toy).items() if k != "keep_latents"}
        guides = sum(verifier.guides for verifier in toy.verifiers)
        return self.cost(toy.generator, guides, **settings)


CASES = {
    "best_of_n": Case(best_of_n, best_of_n_cost, {"num_candidates": 5}),
    "evosearch": Case(
        evosearch,
        evosearch_cost,
        {"schedule": (0, 3), "population_sizes": (4, 5, 3)},
    ),
    "smc": Case(
        smc,
        smc_cost,
        {
            "num_candidates": 5,
            "resample_steps": (1, 4),
            "options": SMCOptions(strength=3.0),
        },
    ),
    "beam_search": Case(
        beam_search,
        beam_cost,
        {
            "num_beams": 2,
            "num_children": 3,
            "options": BeamOptions(branch_steps=(2,)),
        },
    ),
    "zero_order": Case(
        zero_order,
        zero_order_cost,
        {"num_candidates": 4, "num_iterations": 4},
    ),
    "pruned_best_of_n": Case(
        pruned_best_of_n,
        pruned_cost,
        {"num_candidates": 7, "rungs": ((1, 4), (3, 2))},
    ),
    "draft_best_of_n": Case(
        draft_best_of_n, draft_best_of_n_cost, {"num_candidates": 5, "num_kept": 2}
    ),
    "adaptive_best_of_n": Case(
        adaptive_best_of_n,
        adaptive_best_of_n_cost,
        {"num_candidates": 10, "chunk": 2, "tolerance": 0.4},
    ),
}


# The same, as small as they can be, for toys of four steps.
SMALL = {
    "best_of_n": CASES["best_of_n"].but(num_candidates=3),
    "evosearch": CASES["evosearch"].but(schedule=(1,), population_sizes=(3, 3)),
    "smc": CASES["smc"].but(num_candidates=3, resample_steps=(1,)),
    "beam_search": CASES["beam_search"].but(num_children=2),
    "zero_order": CASES["zero_order"].but(num_candidates=2, num_iterations=2),
    "pruned_best_of_n": CASES["pruned_best_of_n"].but(
        num_candidates=3, rungs=((1, 2),)
    ),
    "draft_best_of_n": CASES["draft_best_of_n"].but(num_candidates=3),
    "adaptive_best_of_n": CASES["adaptive_best_of_n"].but(
        num_candidates=6, chunk=2, tolerance=0.5
    ),
}


def running_mean() -> Aggregator:
    """Return an aggregator with a plain state: what fails with it is the search."""

    def init(num_verifiers):
        total = jnp.zeros(num_verifiers, jnp.float32)
        return {"sum": total, "count": jnp.float32(0)}

    def update(rewards, state):
        rewards = rewards.astype(jnp.float32)
        known = jnp.isfinite(rewards).all(axis=1, keepdims=True)
        total = state["sum"] + jnp.where(known, rewards, 0).sum(axis=0)
        count = known.sum(dtype=jnp.float32)
        state = {"sum": total, "count": state["count"] + count}
        return score(rewards, state), state

    def score(rewards, state):
        mean = state["sum"] / jnp.maximum(state["count"], 1)
        return (rewards - mean[None]).sum(axis=1).astype(jnp.float32)

    return Aggregator(init, update, score)


WEIGHTS = [0.7, 0.3]
# One of each kind; tests/aggregation/test_transforms.py has every one by itself.
AGGREGATORS = {
    "weighted": aggregation.weighted(WEIGHTS),
    "rank": aggregation.rank(WEIGHTS),
    "zscore_history": aggregation.zscore_history(WEIGHTS),
    **{
        f"arw_{name}": aggregation.arw(WEIGHTS, name)
        for name in ("adam", "lbfgs", "closed_form")
    },
}

# What JAX's transforms are tried on.
SUBJECTS = {name: (case, running_mean()) for name, case in SMALL.items()} | {
    name: (SMALL["best_of_n"], each) for name, each in AGGREGATORS.items()
}


def assert_same(name: str, output, wanted, tolerance: float = 1e-4) -> None:
    """Compare a subject's outputs; L-BFGS alone stops where rounding says."""
    if name == "arw_lbfgs":
        output, wanted = (x._replace(aggregator_state=()) for x in (output, wanted))
        tolerance = 2e-2
    chex.assert_trees_all_close(output, wanted, rtol=tolerance, atol=tolerance)

"""Every search at tiny size, compiled once for all tests."""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import pytest

from avits_jax.aggregation import zscore_history
from avits_jax.search import (
    BeamOptions,
    SMCOptions,
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
        {"num_candidates": 3, "num_iterations": 3},
    ),
    "pruned_best_of_n": Case(
        pruned_best_of_n,
        pruned_cost,
        {"num_candidates": 7, "rungs": ((1, 4), (3, 2))},
    ),
    "draft_best_of_n": Case(
        draft_best_of_n, draft_best_of_n_cost, {"num_candidates": 5, "num_kept": 2}
    ),
}


@pytest.fixture(params=CASES)
def case(request) -> Case:
    """Each search in turn."""
    return CASES[request.param]


@pytest.fixture(scope="session")
def cases() -> dict[str, Case]:
    """All searches by name."""
    return CASES


class Compiled:
    """A jitted search that counts how often it is traced."""

    def __init__(self, case: Case, toy) -> None:
        self.traces = 0
        self.function = case.bind(toy)
        self.jitted = jax.jit(self._traced)

    def _traced(self, *arguments):
        self.traces += 1
        with jax.debug_key_reuse(True):
            return self.function(*arguments)

    def __call__(self, params, key, cond, state=None):
        # Always with a state: None would be a second program.
        state = AGGREGATOR.init(2) if state is None else state
        return self.jitted(params, key, cond, state)


@pytest.fixture(scope="session")
def compiled(toy_extra):
    """Return ``case -> Compiled`` on the toy with `extra`; compiled once each."""
    functions: dict[Any, Compiled] = {}

    def get(case: Case) -> Compiled:
        if case.search not in functions:
            functions[case.search] = Compiled(case, toy_extra)
        return functions[case.search]

    return get


@pytest.fixture(scope="session")
def aggregator():
    """The aggregator of the compiled searches."""
    return AGGREGATOR


@pytest.fixture(autouse=True, scope="module")
def quick_compilation():
    """Spend less time on compiling programs that run for microseconds."""
    before = jax.config.values["jax_disable_most_optimizations"]
    jax.config.update("jax_disable_most_optimizations", True)
    yield
    jax.config.update("jax_disable_most_optimizations", before)

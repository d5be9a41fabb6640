"""Every search at tiny size, compiled once for all tests."""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import pytest

from avits_jax.aggregation import zscore_history
from avits_jax.search import (
    BeamOptions,
    EvoOptions,
    PrunedOptions,
    SMCOptions,
    ZeroOrderOptions,
    beam_cost,
    beam_search,
    best_of_n,
    best_of_n_cost,
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
    """One search with its settings, and how it bounds its memory."""

    search: Callable[..., Any]
    cost: Callable[..., Any]
    settings: dict[str, Any]
    options: type | None = None

    def chunked(self, size: int) -> "Case":
        """Return this case working on `size` candidates at a time."""
        if self.options is None:
            return self._replace(settings=self.settings | {"candidate_batch": size})
        kept = self.settings.get("options") or self.options()
        fields = {name: getattr(kept, name) for name in kept.__dataclass_fields__}
        options = self.options(**fields | {"candidate_batch": size})
        return self._replace(settings=self.settings | {"options": options})

    def bind(self, toy, aggregator=AGGREGATOR) -> Callable[..., Any]:
        """Return ``(params, key, cond, state) -> SearchOutput``, not compiled."""
        return functools.partial(
            self.search,
            generator=toy.generator,
            verifiers=toy.verifiers,
            aggregator=aggregator,
            **self.settings,
        )

    def predicted_cost(self, toy) -> Any:
        """Return the predicted cost."""
        return self.cost(toy.generator, len(toy.verifiers), **self.settings)


CASES = {
    "best_of_n": Case(best_of_n, best_of_n_cost, {"num_candidates": 5}),
    "evosearch": Case(
        evosearch,
        evosearch_cost,
        {"schedule": (0, 3), "population_sizes": (4, 5, 3)},
        EvoOptions,
    ),
    "smc": Case(
        smc,
        smc_cost,
        {
            "num_candidates": 5,
            "resample_steps": (1, 4),
            "options": SMCOptions(strength=3.0),
        },
        SMCOptions,
    ),
    "beam_search": Case(
        beam_search,
        beam_cost,
        {
            "num_beams": 2,
            "num_children": 3,
            "options": BeamOptions(branch_steps=(2,)),
        },
        BeamOptions,
    ),
    "zero_order": Case(
        zero_order,
        zero_order_cost,
        {"num_candidates": 3, "num_iterations": 3},
        ZeroOrderOptions,
    ),
    "pruned_best_of_n": Case(
        pruned_best_of_n,
        pruned_cost,
        {"num_candidates": 7, "rungs": ((1, 4), (3, 2))},
        PrunedOptions,
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

"""Every search at tiny size, compiled once for all tests."""

from typing import Any

import chex
import jax
import pytest
from search_cases import AGGREGATOR, CASES, SMALL, Case


@pytest.fixture(params=SMALL)
def small(request) -> Case:
    """Each search in turn, as small as can be."""
    return SMALL[request.param]


@pytest.fixture(params=CASES)
def case(request) -> Case:
    """Each search in turn."""
    return CASES[request.param]


@pytest.fixture(scope="session")
def cases() -> dict[str, Case]:
    """All searches by name."""
    return CASES


class Compiled:
    """A jitted search that may be traced once."""

    def __init__(self, case: Case, toy) -> None:
        self.function = case.bind(toy)

        def traced(*arguments):
            with jax.debug_key_reuse(True):
                return self.function(*arguments)

        traced.__name__ = case.search.__name__  # traces are counted by name
        self.jitted = jax.jit(chex.assert_max_traces(traced, n=1))

    def __call__(self, params, key, cond, state=None):
        # Always with a state: None would be a second program.
        state = AGGREGATOR.init(2) if state is None else state
        return self.jitted(params, key, cond, state)


@pytest.fixture(scope="session")
def compiled(toy_extra, caches):
    """Return ``case -> Compiled`` on the toy with `extra`; compiled once each."""
    functions: dict[Any, Compiled] = {}

    def get(case: Case) -> Compiled:
        which = case.search, caches.cleared
        if which not in functions:
            functions[which] = Compiled(case, toy_extra)
        return functions[which]

    return get


@pytest.fixture(scope="session")
def aggregator():
    """The aggregator of the compiled searches."""
    return AGGREGATOR

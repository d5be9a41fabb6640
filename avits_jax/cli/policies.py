"""Searches by name, with the flags that each of them takes."""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any, NamedTuple

from avits_jax import search
from avits_jax.cli.errors import as_cli_error
from avits_jax.cli.options import PolicyOptions, SearchOptions
from avits_jax.cli.policy_defaults import FIXED, MADE_AGAIN, PLACES
from avits_jax.cli.policy_flags import POLICY_FLAGS
from avits_jax.search import Cost
from avits_jax.types import Generator, SearchOutput


class Policy(NamedTuple):
    """A search as the flags ask for it.

    Attributes:
        search: the function, its sizes and options bound; takes the problem, and what
            bounds and keeps it in memory.
        cost: what it spends on a prompt.
        plan: its sizes, as JSON values.
        largest: candidates that it works on at once, where nothing bounds them.
    """

    search: Callable[..., SearchOutput]
    cost: Cost
    plan: dict[str, Any]
    largest: int


class _Plan(NamedTuple):
    function: Callable[..., SearchOutput]
    cost: Callable[..., Cost]
    sizes: dict[str, Any]
    options: Any = None
    draft: Generator | None = None

    def arguments(self) -> dict[str, Any]:
        """Return the keyword arguments of the function and of its cost."""
        own = {"options": self.options, "draft": self.draft}
        return self.sizes | {k: v for k, v in own.items() if v is not None}


def choose_policy(
    options: PolicyOptions, shared: SearchOptions, generator: Generator
) -> Policy:
    """Build the search that the flags ask for.

    Args:
        options: which search, and its own flags.
        shared: number of candidates and of verifiers, and chunk size.
        generator: its steps decide what schedules mean.

    Raises:
        CliError: sizes that do not match, or a budget that is too small.
    """
    num_verifiers = len(shared.verifiers)

    def cost(num_candidates: int) -> Cost:
        plan = _plan(options, generator, num_candidates)
        batch = {"candidate_batch": shared.candidate_batch}
        return plan.cost(generator, num_verifiers, **plan.arguments(), **batch)

    with as_cli_error(f"--search {options.search}: "):
        num = shared.num_candidates
        if options.max_nfe is not None:
            num = search.largest_within(options.max_nfe, cost)
        plan = _plan(options, generator, num)
        bound = functools.partial(plan.function, **plan.arguments())
        return Policy(bound, cost(num), plan.sizes, _largest(plan.sizes))


def _largest(sizes: dict[str, Any]) -> int:
    """Return how many candidates a search of these sizes works on at the most."""
    if "chunk" in sizes:
        return sizes["chunk"]
    if "population_sizes" in sizes:
        return max(sizes["population_sizes"])
    if "num_beams" in sizes:
        return sizes["num_beams"] * sizes["num_children"]
    return sizes["num_candidates"]


def _plan(options: PolicyOptions, generator: Generator, num_candidates: int) -> _Plan:
    plan = _PLANS[options.search](options, generator, num_candidates)
    if plan.options is None:
        return plan
    own = {
        flag: _value(options, flag)
        for flag in POLICY_FLAGS[options.search]
        if flag in {field.name for field in dataclasses.fields(plan.options)}
        and flag not in _CONVERTED
    }
    return plan._replace(options=dataclasses.replace(plan.options, **own))


# Flags whose value is not yet what the search's options want.
_CONVERTED = ("potential", "branch_steps")


def _best_of_n(options: PolicyOptions, generator: Generator, num: int) -> _Plan:
    return _Plan(search.best_of_n, search.best_of_n_cost, {"num_candidates": num})


def _adaptive(options: PolicyOptions, generator: Generator, num: int) -> _Plan:
    """Draw whole chunks: as many as do not exceed the number of candidates."""
    chunk = min(_value(options, "chunk"), num)
    plan: dict[str, Any] = {"num_candidates": num - num % max(1, chunk), "chunk": chunk}
    if options.tolerance is not None:
        plan["tolerance"] = options.tolerance
    return _Plan(search.adaptive_best_of_n, search.adaptive_best_of_n_cost, plan)


def _evosearch(options: PolicyOptions, generator: Generator, num: int) -> _Plan:
    """Evolve at the start and after a third, as the paper does with 30 steps."""
    schedule = _or(options.schedule, _steps(generator, "schedule"))
    elites = _value(options, "num_elites")
    sizes = _or(options.populations, _shares(num, len(schedule) + 1, elites + 1))
    plan = {"schedule": schedule, "population_sizes": sizes}
    return _Plan(search.evosearch, search.evosearch_cost, plan, search.EvoOptions())


def _smc(options: PolicyOptions, generator: Generator, num: int) -> _Plan:
    steps = _or(options.resample_steps, _steps(generator, "resample_steps"))
    kind = _value(options, "potential")
    own = search.SMCOptions(potential=getattr(search, f"{kind}_potential"))
    plan = {"num_candidates": num, "resample_steps": steps}
    return _Plan(search.smc, search.smc_cost, plan, own)


def _beam_search(options: PolicyOptions, generator: Generator, num: int) -> _Plan:
    children = _value(options, "num_children")
    steps = _or(options.branch_steps, _steps(generator, "branch_steps", spare=1))
    plan = {"num_beams": max(1, num // max(1, children)), "num_children": children}
    own = search.BeamOptions(branch_steps=steps)
    return _Plan(search.beam_search, search.beam_cost, plan, own)


def _zero_order(options: PolicyOptions, generator: Generator, num: int) -> _Plan:
    """Look once around the best: half of the candidates are fresh, half neighbours."""
    rounds = _value(options, "num_iterations")
    plan = {"num_candidates": max(1, num // max(1, rounds)), "num_iterations": rounds}
    return _Plan(
        search.zero_order, search.zero_order_cost, plan, search.ZeroOrderOptions()
    )


def _pruned(options: PolicyOptions, generator: Generator, num: int) -> _Plan:
    """Keep a half after a quarter of the steps, and a quarter after half of them."""
    steps = _steps(generator, "rungs")
    halves = [(step, num >> i) for i, step in enumerate(steps, start=1)]
    rungs = tuple((step, kept) for step, kept in halves if kept)
    if options.rungs is not None:
        rungs = tuple(_rung(text) for text in options.rungs)
    plan = {"num_candidates": num, "rungs": rungs}
    return _Plan(
        search.pruned_best_of_n, search.pruned_cost, plan, search.PrunedOptions()
    )


def _draft(options: PolicyOptions, generator: Generator, num: int) -> _Plan:
    """Make the best quarter again in full."""
    number, count = _value(options, "draft"), len(generator.drafts)
    if number not in range(count):
        raise ValueError(
            f"draft must be one of the model's {count} drafts, got {number}"
        )
    sizes = {
        "num_candidates": num,
        "num_kept": _or(options.num_kept, max(1, int(num * MADE_AGAIN))),
        "draft": number,
    }
    return _Plan(
        search.draft_best_of_n,
        search.draft_best_of_n_cost,
        sizes,
        draft=generator.drafts[number],
    )


_PLANS: dict[str, Callable[[PolicyOptions, Generator, int], _Plan]] = {
    "best_of_n": _best_of_n,
    "adaptive_best_of_n": _adaptive,
    "evosearch": _evosearch,
    "smc": _smc,
    "beam_search": _beam_search,
    "zero_order": _zero_order,
    "pruned_best_of_n": _pruned,
    "draft_best_of_n": _draft,
}


def _or(value: Any, default: Any) -> Any:
    return default if value is None else value


def _value(options: PolicyOptions, flag: str) -> Any:
    """Return a flag's value, or what it is where it is not given."""
    return _or(getattr(options, flag), FIXED[flag])


def _steps(generator: Generator, flag: str, spare: int = 0) -> tuple[int, ...]:
    """Return a flag's distinct steps by default, none of the `spare` last ones."""
    steps = {round(generator.num_steps * place) for place in PLACES[flag]}
    return tuple(sorted(step for step in steps if step < generator.num_steps - spare))


def _shares(total: int, parts: int, least: int) -> tuple[int, ...]:
    """Return `parts` sizes, as equal as can be, of `total`; none below `least`."""
    sizes = (total // parts + (i < total % parts) for i in range(parts))
    return tuple(max(least, size) for size in sizes)


def _rung(text: str) -> tuple[int, int]:
    step, colon, kept = text.partition(":")
    if not (colon and step.isdecimal() and kept.isdecimal()):
        raise ValueError(f"rungs must be STEP:KEPT, got {text!r}")
    return int(step), int(kept)

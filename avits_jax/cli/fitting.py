"""Work on as many candidates at once as fit into memory."""

from collections.abc import Callable
from typing import Any

import jax

from avits_jax import runs
from avits_jax.cli.errors import TooLargeError
from avits_jax.runs.batches import default_batch
from avits_jax.types import PyTree


def fitted_work(
    make: Callable[[int | None], runs.Work], largest: int, say: Callable[[str], None]
) -> runs.Work:
    """Return work that takes fewer candidates at once where its program is too large.

    It begins with `runs.batches.default_batch`. What a program needs to work in grows
    with the candidates at once, so that the next size follows from what was too much.

    Args:
        make: ``candidate_batch -> work``; None is for all.
        largest: population of the search.
        say: is told the size if it is not the whole population.
    """
    size = min(default_batch() or largest, largest)
    work = make(size if size < largest else None)
    settled: list[runs.Found] = []  # what the program gives, once it fits

    def prepare(cond: Any) -> runs.Found:
        nonlocal size, work
        if settled:  # a prompt of another structure has a program of its own
            return work.prepare(cond)
        while not settled:
            try:
                settled.append(work.prepare(cond))
            except TooLargeError as error:
                if size == 1 or _hosts_may_differ():
                    raise
                size = max(1, min(size // 2, int(size * error.share)))
                work = make(size)
            else:
                if size < largest:
                    say(f"working on at most {size} of {largest} candidates at a time")
        return settled[0]

    def search(row: int, cond: Any, state: PyTree) -> runs.Found:
        if not settled:
            prepare(cond)
        return work.search(row, cond, state)

    return work._replace(prepare=prepare, search=search)


def _hosts_may_differ() -> bool:
    """Tell whether other hosts might choose another size: CPUs share their memory."""
    return jax.process_count() > 1 and jax.default_backend() == "cpu"

"""Work on as many candidates at once as fit into memory."""

from collections.abc import Callable
from typing import Any

import jax
import numpy as np

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
    fits: set[Any] = set()  # shapes of prompts whose program does
    said: set[int] = {largest}

    def prepare(cond: Any) -> runs.Found:
        nonlocal size, work
        while True:
            try:
                found = work.prepare(cond)
            except TooLargeError as error:
                if size == 1 or _hosts_may_differ():
                    raise
                size = max(1, min(size // 2, int(size * error.share)))
                work = make(size)
                fits.clear()
            else:
                break
        fits.add(_shapes(cond))
        if size not in said:
            said.add(size)
            say(f"working on at most {size} of {largest} candidates at a time")
        return found

    def search(row: int, cond: Any, state: PyTree) -> runs.Found:
        if _shapes(cond) not in fits:  # a program of its own
            prepare(cond)
        return work.search(row, cond, state)

    return work._replace(prepare=prepare, search=search)


def _shapes(cond: Any) -> Any:
    """Return what tells prompts of another program apart: structure and shapes."""
    leaves, structure = jax.tree.flatten(cond)
    return structure, *map(np.shape, leaves)


def _hosts_may_differ() -> bool:
    """Tell whether other hosts might choose another size: CPUs share their memory."""
    return jax.process_count() > 1 and jax.default_backend() == "cpu"

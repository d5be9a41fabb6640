"""Begin a run with what the aggregator of another one has learned."""

import os
from pathlib import Path

from avits_jax.runs import states
from avits_jax.runs.folder import MERGED, read_run
from avits_jax.runs.merge import last_states
from avits_jax.types import PyTree


def state_of(
    folder: str | os.PathLike[str], verifiers: tuple[str, ...], like: PyTree
) -> PyTree:
    """Return the aggregator's state at the end of a run, merged or not.

    Args:
        folder: of the other run.
        verifiers: those that guide the run to begin.
        like: a fresh state of its aggregator.

    Raises:
        ValueError: the folder is no run, has no prompt done, or had other verifiers or
            another aggregator.
    """
    made = read_run(folder)
    if tuple(made["verifiers"]) != verifiers:
        raise ValueError(
            f"{Path(folder)} learned from {', '.join(made['verifiers'])}, this run is "
            f"guided by {', '.join(verifiers)}"
        )
    if made["state"] != states.layout(like):
        raise ValueError(
            f"{Path(folder)} holds the state of another aggregator or optimiser"
        )
    if made["kind"] == MERGED:
        return states.from_numbers(made.get("learned", {}), like)
    return states.unpack(last_states([folder])[0], like)

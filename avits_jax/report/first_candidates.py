"""What would have been chosen among the first 1, 2, 4, ... candidates.

Candidates of `best_of_n` are independent, so the first n are a search of n. Verifiers
are weighed as they were when all candidates were known.
"""

import itertools
import os
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float

from avits_jax.files.json_values import NUMBER
from avits_jax.runs.records import DONE, Record, read_records
from avits_jax.study import (
    calibrated,
    counts_up_to,
    first_candidates,
    pick,
    winner_rewards,
)

_SEARCH = "best_of_n"
# Their scores sum rewards over known deviations, or look at each population alone.
_SCALED = ("arw", "weighted", "zscore", "zscore_history")
_ALONE = ("rank", "minmax", "zscore_candidate")
_BLOCK = 512  # prompts in memory


class First(NamedTuple):
    """What is chosen among the first candidates of one prompt.

    Attributes:
        num_candidates: how many these are.
        chosen: index of the one chosen; None where all of them failed.
        score: its score.
        rewards: its rewards; None where one was not finite.
    """

    num_candidates: int
    chosen: int | None
    score: float | None
    rewards: tuple[float | None, ...]


def first_of_results(results: Mapping[str, Any]) -> list[First]:
    """Return what results.json says of the first candidates.

    Empty for other searches than `best_of_n`, and of one candidate.

    Args:
        results: of `load_results`.
    """
    candidates = sorted(results["candidates"], key=lambda c: c["index"])
    if results["settings"].get("search", _SEARCH) != _SEARCH or len(candidates) < 2:
        return []
    return [_first(candidates, count) for count in counts_up_to(len(candidates))]


def _first(candidates: list[Mapping[str, Any]], count: int) -> First:
    there = [
        c for c in candidates[:count] if not c["failed"] and c["score"] is not None
    ]
    if not there:
        return First(count, None, None, (None,) * len(candidates[0]["rewards"]))
    best = max(there, key=lambda c: c["score"])
    return First(count, best["index"], best["score"], tuple(best["rewards"]))


class FirstOfRun(NamedTuple):
    """Mean rewards of what is chosen among the first candidates of a run's prompts.

    Attributes:
        counts: how many the first candidates are.
        rewards: ``[C, W]``, guides first; NaN where nobody gave one.
    """

    counts: list[int]
    rewards: Float[np.ndarray, "C W"]


def first_of_run(
    folder: str | os.PathLike[str], made: Mapping[str, Any], num_candidates: int
) -> FirstOfRun | None:
    """Read the records of a run, and choose among the first candidates.

    Args:
        folder: the run folder.
        made: its run.json.
        num_candidates: of the prompt that has most.

    Returns:
        Means over prompts; None for other searches than `best_of_n`, where it is not
        known how verifiers were weighed, and with one candidate a prompt.

    Raises:
        ValueError: the records are damaged.
    """
    settings, num_guides = made["settings"], len(made["verifiers"])
    name = settings.get("aggregator")
    known = settings.get("search") == _SEARCH and name in _SCALED + _ALONE
    columns = [settings.get(key) for key in ("weights", "std")]
    if not all(c is None or _is_column(c, num_guides) for c in columns):
        return None  # not as this package writes them
    if not known or num_candidates < 2:
        return None
    counts = counts_up_to(num_candidates)
    width = num_guides + len(made["judges"])
    total, seen = np.zeros((2, len(counts), width))
    done = (record for record in read_records(folder) if record.status == DONE)
    while block := list(itertools.islice(done, _BLOCK)):
        for place, chosen in enumerate(_chosen(block, made, counts)):
            finite = np.isfinite(chosen)
            total[place] += np.where(finite, chosen, 0).sum(axis=0)
            seen[place] += finite.sum(axis=0)
    return FirstOfRun(counts, np.where(seen > 0, total / np.maximum(seen, 1), np.nan))


def _is_column(values: Any, count: int) -> bool:
    """Tell whether values are numbers of at least 0 for each guide, not all 0."""
    numbers = isinstance(values, list) and all(map(NUMBER.accepts, values))
    return numbers and len(values) == count and max(values) > 0 <= min(values)


def _chosen(
    records: list[Record], made: Mapping[str, Any], counts: list[int]
) -> Iterable[Float[np.ndarray, "P W"]]:
    """Yield the rewards of what is chosen among each number of first candidates."""
    settings, num_guides = made["settings"], len(made["verifiers"])
    weights = settings.get("weights") or [1.0] * num_guides
    name = settings["aggregator"]
    # Always of one shape, so that one program serves all blocks.
    shape = _BLOCK, counts[-1], num_guides + len(made["judges"])
    rewards, scaled = np.full(shape, np.nan, np.float32), np.full(shape, np.nan)
    for prompt, record in enumerate(records):
        table = np.concatenate([record.rewards, record.judged], axis=1)
        rewards[prompt, : len(table)] = scaled[prompt, : len(table)] = table
        if name in _SCALED:
            known = settings.get("std") or record.sigmas
            scaled[prompt, :, :num_guides] /= [sigma or 1.0 for sigma in known]
    guided = scaled[..., :num_guides].astype(np.float32)
    for count in counts:
        fewer = first_candidates(guided, count)
        terms = calibrated(name if name in _ALONE else "weighted", fewer)
        yield winner_rewards(rewards, pick(terms, weights))

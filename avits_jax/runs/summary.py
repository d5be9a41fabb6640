"""A run in numbers: rewards and sigmas over prompts, gains, failures, cost."""

import math
import os
from collections import Counter
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float, Int

from avits_jax.runs.folder import read_run
from avits_jax.runs.records import DONE, Record, fitting, read_records
from avits_jax.runs.times import read_times

_KEPT = 100  # failures and prompts that a page can name


class Gain(NamedTuple):
    """How much better the chosen candidate is than the mean one, for one verifier.

    Attributes:
        name: the verifier's.
        guides: whether it guided the search.
        mean: reward of the mean candidate, over all prompts.
        chosen: reward of the chosen candidate.
        gain: ``chosen - mean``.
        error: half the width of the gain's 95% interval over prompts.
        spreads: the gain in standard deviations of candidates of one prompt; None
            where candidates do not differ.
        better: share of prompts whose chosen candidate is above the mean one.
        num_prompts: prompts with a finite reward from this verifier.
    """

    name: str
    guides: bool
    mean: float
    chosen: float
    gain: float
    error: float
    spreads: float | None
    better: float
    num_prompts: int


class Summary(NamedTuple):
    """What the report of a run shows; arrays are over the prompts that are done.

    Attributes:
        rows: their rows.
        chosen: rewards of the chosen candidates; guides first, then judges.
        mean: rewards of the mean candidate.
        gained: ``chosen - mean``; exactly zero where all candidates are alike.
        spread: standard deviation of the candidates' rewards.
        refined: rewards of the chosen candidates once they were made large; NaN where
            there was no second stage.
        sigmas: learned by the aggregator, NaN where there is none.
        counts: prompts by status.
        failures: the first prompts that are not done.
        shown: the first prompts.
        num_candidates: candidates scored.
        most_candidates: of the prompt that has most.
        nfe: network evaluations.
        decodes: decoder passes.
        verifier_calls: candidates scored, times the number of guides.
        seconds: spent on prompts, compilation included.
        num_timed: prompts whose seconds are known.
    """

    rows: Int[np.ndarray, " P"]
    chosen: Float[np.ndarray, "P W"]
    mean: Float[np.ndarray, "P W"]
    gained: Float[np.ndarray, "P W"]
    spread: Float[np.ndarray, "P W"]
    refined: Float[np.ndarray, "P W"]
    sigmas: Float[np.ndarray, "P V"]
    counts: Counter[str]
    failures: list[Record]
    shown: list[Record]
    num_candidates: int
    most_candidates: int
    nfe: int
    decodes: int
    verifier_calls: int
    seconds: float
    num_timed: int


def summarise(folder: str | os.PathLike[str]) -> Summary:
    """Read a run folder once, from the first record to the last.

    Raises:
        ValueError: the records or run.json are damaged, or do not fit together.
    """
    counts: Counter[str] = Counter()
    rows, chosen, mean, gained, spread, sigmas = [], [], [], [], [], []
    refined = []
    failures: list[Record] = []
    shown: list[Record] = []
    costs, most = np.zeros(4, np.int64), 0
    times = read_times(folder)
    for record in fitting(read_records(folder), read_run(folder), Path(folder)):
        counts[record.status] += 1
        costs += (
            len(record.rewards),
            record.nfe,
            record.decodes,
            record.verifier_calls,
        )
        most = max(most, len(record.rewards))
        if len(shown) < _KEPT:
            shown.append(record)
        if record.status != DONE:
            failures += [record] if len(failures) < _KEPT else []
            continue
        middle, gain, width = _over_candidates(record)
        rows.append(record.row)
        chosen.append(_columns(record)[record.best])
        mean.append(middle)
        gained.append(gain)
        spread.append(width)
        refined.append(refined_rewards(record))
        sigmas.append([math.nan if s is None else s for s in record.sigmas])
    return Summary(
        rows=np.asarray(rows, np.int64),
        chosen=_table(chosen),
        mean=_table(mean),
        gained=_table(gained),
        spread=_table(spread),
        refined=_table(refined),
        sigmas=_table(sigmas),
        counts=counts,
        failures=failures,
        shown=shown,
        num_candidates=int(costs[0]),
        most_candidates=most,
        nfe=int(costs[1]),
        decodes=int(costs[2]),
        verifier_calls=int(costs[3]),
        seconds=sum(times.values()),
        num_timed=len(times),
    )


def gains(summary: Summary, guides: list[str], judges: list[str]) -> list[Gain]:
    """Compare chosen and mean candidate, verifier by verifier.

    Args:
        summary: of `summarise`.
        guides: names of the verifiers that guided.
        judges: names of those that only watched.
    """
    names = [(name, True) for name in guides] + [(name, False) for name in judges]
    if not len(summary.rows):
        return []
    return [
        _gain(summary, column, name, guides)
        for column, (name, guides) in enumerate(names)
    ]


def _gain(summary: Summary, column: int, name: str, guides: bool) -> Gain:
    known = np.isfinite(summary.chosen[:, column]) & np.isfinite(
        summary.mean[:, column]
    )
    chosen, mean = summary.chosen[known, column], summary.mean[known, column]
    count, difference = len(chosen), summary.gained[known, column]
    if not count:
        return Gain(name, guides, *(math.nan,) * 4, None, math.nan, 0)
    deviation = float(difference.std(ddof=1)) if count > 1 else math.nan
    width = float(np.sqrt(np.square(summary.spread[known, column]).mean()))
    gain = float(difference.mean())
    return Gain(
        name=name,
        guides=guides,
        mean=float(mean.mean()),
        chosen=float(chosen.mean()),
        gain=gain,
        error=1.96 * deviation / math.sqrt(count),
        spreads=gain / width if width > 0 else None,
        better=float((difference > 0).mean()),
        num_prompts=count,
    )


def refined_rewards(record: Record) -> Float[np.ndarray, " W"]:
    """Return what guides and judges say of the chosen clip made large, or NaN."""
    large = record.refined
    if large is None or record.best < 0:
        return np.full(record.rewards.shape[1] + record.judged.shape[1], np.nan)
    place = large.kept.index(record.best)
    return np.concatenate([large.rewards[place], large.judged[place]]).astype(float)


def _columns(record: Record) -> Float[np.ndarray, "N W"]:
    """Return rewards of guides and judges side by side, in double precision."""
    judged = record.judged.reshape(len(record.rewards), -1)
    return np.concatenate([record.rewards, judged], axis=1).astype(float)


def _over_candidates(record: Record) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return mean, gain and deviation over the candidates that did not fail."""
    columns = _columns(record)
    chosen = columns[record.best]
    columns = columns[np.isfinite(record.rewards).all(axis=1)]
    finite = np.isfinite(columns)
    count = np.maximum(finite.sum(axis=0), 1)
    mean = np.where(finite, columns, 0).sum(axis=0) / count
    gain = np.where(finite, chosen - columns, 0).sum(axis=0) / count
    squares = np.where(finite, np.square(columns - mean), 0).sum(axis=0) / count
    seen = finite.any(axis=0)
    found = (mean, gain, np.sqrt(squares))
    mean, gain, width = (np.where(seen, values, np.nan) for values in found)
    return mean, gain, width


def _table(rows: list[Any]) -> np.ndarray:
    return np.asarray(rows, float).reshape(len(rows), len(rows[0]) if rows else 0)

"""One row of a benchmark's table: every column of a set of clips, with its interval."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from avits_jax.bench.categories import ASPECTS, Members
from avits_jax.bench.columns import DEFAULT, Column, columns_of, guided_columns
from avits_jax.bench.costs import Costs
from avits_jax.bench.distances import (
    NEEDS_REFERENCES,
    pair_distances,
    set_distance,
    set_score,
)
from avits_jax.bench.evaluated import Evaluated
from avits_jax.bench.evaluation import Method
from avits_jax.bench.protocol import OF_CLIPS, Protocol, require_same
from avits_jax.bench.references import References, require_fitting
from avits_jax.study.intervals import Interval, interval

Categories = dict[str, dict[str, tuple[float | None, int]]]
"""Aspect -> category -> number, and of how many clips."""


class Entry(NamedTuple):
    """One column.

    Attributes:
        column: which.
        value: the number; None where there is none.
        interval: of a mean over clips, with its 95% bootstrap interval.
        num_clips: that it is of.
        num_missing: clips that it should be of, too.
        guided: whether a reward that chose the clips is measured here.
        reason: why there is no number.
        categories: the same by category, where asked for.
    """

    column: Column
    value: float | None
    interval: Interval | None
    num_clips: int
    num_missing: int
    guided: bool
    reason: str | None = None
    categories: Categories | None = None


class Table(NamedTuple):
    """All columns of one set of clips; it knows its mode and its protocol.

    Attributes:
        protocol: how the numbers came about.
        method: what made the clips.
        entries: by column.
        clips: column -> ``[P]`` the number of each clip, NaN without one.
        faults: row -> why its clip could not be judged.
        failed: column or feature -> row -> why it has none.
        costs: what the clips have cost.
    """

    protocol: Protocol
    method: Method
    entries: dict[str, Entry]
    clips: dict[str, Float[np.ndarray, " P"]]
    faults: Mapping[int, str]
    failed: Mapping[str, Mapping[int, str]]
    costs: Costs


class _Given(NamedTuple):
    """What the columns of a table are made from."""

    evaluated: Evaluated
    references: References | None
    groups: Members | None


class _Sets(NamedTuple):
    """Features of real and generated clips, and the rows of each."""

    real: Mapping[int, np.ndarray]
    generated: Mapping[int, np.ndarray]


def tabulate(
    evaluated: Evaluated,
    references: References | None = None,
    groups: Members | None = None,
    costs: Costs | None = None,
) -> Table:
    """Make the table of a set of clips.

    In ``bench`` mode a set of clips is compared with the real clips of the same
    prompts, as the benchmark does; in ``default`` mode with all real clips, and only by
    category with those of the same prompts. A clip that could not be judged is in no
    number.

    Args:
        evaluated: of `read_evaluated`.
        references: features of real clips; without them columns that compare with real
            clips are left out.
        groups: rows of each category, for numbers by category.
        costs: what each clip has cost.

    Raises:
        ValueError: the references are of another metric, or of other settings.
    """
    columns = columns_of(evaluated.protocol.benchmark)
    if references is not None:
        needed = _needed(evaluated, columns.values())
        held = [name for name in needed if name in references.features]
        require_fitting(references, evaluated.protocol, held or needed)
    given = _Given(evaluated, references, groups)
    guided = guided_columns(evaluated.protocol.benchmark, evaluated.method.guides)
    clips = _all_clips(given, columns.values())
    entries = {
        key: _entry(given, column, clips.get(key), key in guided)
        for key, column in columns.items()
    }
    return Table(
        evaluated.protocol,
        evaluated.method,
        entries,
        clips,
        evaluated.faults,
        evaluated.failed,
        costs or {},
    )


def join(tables: Sequence[Table]) -> Sequence[Table]:
    """Refuse tables that must not stand together, return those that may.

    Models make clips of different seeds, sizes and rates; how they are measured must be
    the same.

    Raises:
        ProtocolError: they are of different modes, prompts, weights or decoders.
        ValueError: two are of one name.
    """
    named = [(table.method.name, table.protocol) for table in tables]
    require_same(named, but=OF_CLIPS)
    names = [table.method.name for table in tables]
    for name in names:
        if names.count(name) > 1:
            raise ValueError(f"tables must have names of their own, {name!r} is twice")
    return tables


def _needed(evaluated: Evaluated, columns) -> list[str]:
    """Return the features that are there and are compared with real ones."""
    wanted = [c.features[0] for c in columns if c.key in NEEDS_REFERENCES]
    return list(dict.fromkeys(name for name in wanted if name in evaluated.features))


def _all_clips(given: _Given, columns) -> dict[str, np.ndarray]:
    """Return the numbers of single clips, of every column that has such."""
    found = dict(given.evaluated.scores)
    for column in columns:
        if column.paired and _reason(given, column) is None:
            sets = _sets(given, column)
            rows = sorted(sets.real.keys() & sets.generated)
            values = np.full(given.evaluated.protocol.num_prompts, np.nan)
            if rows:
                pairs = [np.stack([s[row] for row in rows]) for s in sets]
                values[rows] = pair_distances(column.key, *pairs)
            found[column.key] = values
    return found


def _entry(
    given: _Given, column: Column, clips: np.ndarray | None, guided: bool
) -> Entry:
    reason = _reason(given, column)
    total = given.evaluated.protocol.num_prompts
    if reason is not None:
        return Entry(column, None, None, 0, total, guided, reason)
    if column.per_clip:
        assert clips is not None  # _reason says so
        known = clips[~np.isnan(clips)]
        found = interval(clips) if len(known) else None
        entry = Entry(column, _first(found), found, len(known), 0, guided)
        categories = _mean_by_category(given.groups, clips)
    else:
        sets = _sets(given, column)
        rows = _judged(given, column, sets)
        value, why = _of_set(given, column, sets, rows)
        entry = Entry(column, value, None, len(rows), 0, guided, why)
        categories = _set_by_category(given, column, sets, rows)
    return entry._replace(num_missing=total - entry.num_clips, categories=categories)


def _reason(given: _Given, column: Column) -> str | None:
    """Return why a column has no number, None where it may have one."""
    evaluated, references = given.evaluated, given.references
    if not column.features:
        if column.key in evaluated.scores:
            return None
        return evaluated.left_out.get(column.key, "no clip has a score")
    name = column.features[0]
    if name not in evaluated.features:
        return evaluated.left_out.get(column.key, f"no clip has {name} features")
    if column.key not in NEEDS_REFERENCES:
        return None
    if references is None:
        return "no reference features"
    if name not in references.features:
        return f"the reference features hold no {name}"
    if column.paired and references.rows is None:
        return "the reference features belong to no prompts"
    return None


def _sets(given: _Given, column: Column) -> _Sets:
    name = column.features[0]
    generated = given.evaluated.features[name]
    if column.key not in NEEDS_REFERENCES:
        return _Sets({}, generated)
    assert given.references is not None  # _reason says so
    rows, clips = given.references.rows, given.references.features[name]
    places = range(len(clips)) if rows is None else rows.tolist()
    return _Sets(dict(zip(places, clips, strict=True)), generated)


def _judged(given: _Given, column: Column, sets: _Sets) -> list[int]:
    """Return the rows whose generated clips the column is of."""
    rows = sorted(sets.generated)
    compares = column.key in NEEDS_REFERENCES
    if compares and given.evaluated.protocol.mode != DEFAULT:
        return [row for row in rows if row in sets.real]
    return rows


def _of_set(
    given: _Given, column: Column, sets: _Sets, rows: Sequence[int]
) -> tuple[float | None, str | None]:
    """Return the number of a set of clips, or why there is none."""
    if column.key not in NEEDS_REFERENCES:
        value = set_score(column.key, _stacked(sets.generated, rows)) if rows else None
        if value is None or np.isnan(value):
            return None, "fewer clips than the score has splits"
        return value, None
    mode = given.evaluated.protocol.mode
    others = sorted(sets.real) if mode == DEFAULT else rows
    if len(rows) < 2 or len(others) < 2:
        return None, "fewer than 2 clips"
    pair = _stacked(sets.real, others), _stacked(sets.generated, rows)
    return set_distance(column.key, mode, *pair), None


def _stacked(clips: Mapping[int, np.ndarray], rows: Sequence[int]) -> np.ndarray:
    """Return features as rows; a clip may have several."""
    return np.concatenate([np.atleast_2d(clips[row]) for row in rows])


def _mean_by_category(groups: Members | None, clips: np.ndarray) -> Categories | None:
    if groups is None:
        return None

    def of(rows: np.ndarray) -> tuple[float | None, int]:
        known = clips[rows][~np.isnan(clips[rows])]
        return (float(known.mean()) if len(known) else None), len(known)

    return {
        aspect: {title: of(rows) for title, rows in zip(titles, each, strict=True)}
        for (aspect, titles), each in zip(ASPECTS.items(), groups, strict=True)
    }


def _set_by_category(
    given: _Given, column: Column, sets: _Sets, judged: Sequence[int]
) -> Categories | None:
    references = given.references
    if given.groups is None or references is None or references.rows is None:
        return None
    known = set(judged) & sets.real.keys()

    def of(members: np.ndarray) -> tuple[float | None, int]:
        rows = [row for row in members.tolist() if row in known]
        if len(rows) < 2:
            return None, len(rows)
        pair = _stacked(sets.real, rows), _stacked(sets.generated, rows)
        mode = given.evaluated.protocol.mode
        return set_distance(column.key, mode, *pair), len(rows)

    return {
        aspect: {title: of(rows) for title, rows in zip(titles, each, strict=True)}
        for (aspect, titles), each in zip(ASPECTS.items(), given.groups, strict=True)
    }


def _first(found: Interval | None) -> float | None:
    return None if found is None else found[0]

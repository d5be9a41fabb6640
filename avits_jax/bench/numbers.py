"""Tables and comparisons as strict JSON: what is not known is null."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from avits_jax.bench.comparing import Comparison
from avits_jax.bench.protocol import OF_CLIPS
from avits_jax.bench.published import PublishedRow, beside
from avits_jax.bench.table import Categories, Entry, Table, join
from avits_jax.study.intervals import Interval

FORMAT = 1


def to_json(
    tables: Sequence[Table],
    comparisons: Mapping[str, Sequence[Comparison]] | None = None,
    published: Sequence[PublishedRow] | None = None,
) -> dict[str, Any]:
    """Return the tables of one benchmark, one protocol and one mode as JSON values.

    Args:
        tables: one for each set of clips.
        comparisons: name of a table -> what it was compared with.
        published: rows of others to stand beside ours, where they may.

    Raises:
        ProtocolError: the tables are of different modes or protocols.
        ValueError: there is none, or two are of one name.
    """
    if not tables:
        raise ValueError("tables must hold at least one table")
    join(tables)
    made = comparisons or {}
    protocol = tables[0].protocol
    found = {
        "format": FORMAT,
        "mode": protocol.mode,
        "protocol": protocol.to_json(),
        "tables": [
            _table(table) | {"against": list(map(_against, made.get(_name(table), ())))}
            for table in tables
        ],
    }
    if published is not None:
        fitting, others = beside(published, protocol)
        found["published"] = [_published(row) for row in fitting]
        found["published_left_out"] = others
    return found


def _name(table: Table) -> str:
    return table.method.name


def _table(table: Table) -> dict[str, Any]:
    guided = [key for key, entry in table.entries.items() if entry.guided]
    return {
        "method": table.method.to_json(),
        "of_clips": {name: table.protocol.to_json()[name] for name in OF_CLIPS},
        "num_prompts": table.protocol.num_prompts,
        "num_judged": table.protocol.num_prompts - len(table.faults),
        "guided": guided,
        "columns": {key: _entry(table, entry) for key, entry in table.entries.items()},
        "faults": {str(row): reason for row, reason in sorted(table.faults.items())},
        "failed": {
            name: {str(row): reason for row, reason in sorted(rows.items())}
            for name, rows in table.failed.items()
            if rows
        },
        "costs": {name: _mean(costs) for name, costs in table.costs.items()},
    }


def _entry(table: Table, entry: Entry) -> dict[str, Any]:
    column = entry.column
    found = {
        "title": column.title,
        "variant": column.variant(table.protocol.mode),
        "better": "higher" if column.higher else "lower",
        "guided": entry.guided,
        "value": _number(entry.value),
        "interval": _interval(entry.interval),
        "num_clips": entry.num_clips,
        "num_missing": entry.num_missing,
        "reason": entry.reason,
    }
    if entry.categories is not None:
        found["categories"] = _categories(entry.categories)
    return found


def _categories(categories: Categories) -> dict[str, Any]:
    return {
        aspect: {
            title: {"value": _number(value), "num_clips": count}
            for title, (value, count) in cells.items()
        }
        for aspect, cells in categories.items()
    }


def _against(comparison: Comparison) -> dict[str, Any]:
    joint = comparison.domination
    return {
        "name": comparison.against,
        "equal_budget": comparison.equal_budget,
        "costs": {
            name: {"ours": ours, "theirs": theirs}
            for name, (ours, theirs) in comparison.costs.items()
        },
        "columns": {
            key: {
                "ours": _number(found.ours),
                "theirs": _number(found.theirs),
                "difference": _interval(found.interval),
                "better": found.better,
                "num_prompts": found.num_prompts,
            }
            for key, found in comparison.differences.items()
        },
        "domination": None
        if joint is None
        else {
            "none_worse": _interval(joint.nobody),
            "no_guided_worse": _interval(joint.no_guide),
            "some_judge_worse": _interval(joint.some_judge),
            "num_prompts": joint.num_prompts,
        },
    }


def _published(row: PublishedRow) -> dict[str, Any]:
    return {
        "model": row.model,
        "source": row.source,
        "url": row.url,
        "read": row.read,
        "disputed": row.disputed or None,
        "not_stated": list(row.not_stated),
        "columns": dict(row.columns),
    }


def _interval(found: Interval | None) -> dict[str, Any] | None:
    if found is None or math.isnan(found[0]):
        return None
    return dict(zip(("mean", "low", "high"), found, strict=True))


def _mean(costs: np.ndarray) -> float | None:
    known = costs[~np.isnan(costs)]
    return float(known.mean()) if len(known) else None


def _number(value: float | None) -> float | None:
    return None if value is None or not math.isfinite(value) else value

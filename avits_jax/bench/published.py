"""Rows that others have published, printed beside ours where that is fair.

``published.toml`` holds facts, each with its source: what a paper's table says, what is
known of how it was measured (``states``, fields of the protocol block), where the
numbers were read, and what speaks against them. A row stands beside ours only if all
that it states agrees with our protocol, and it states at least the prompts; what it
leaves open is said with it.
"""

import os
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from avits_jax.bench.columns import COLUMNS, MODES, columns_of
from avits_jax.bench.protocol import Protocol
from avits_jax.files.json_values import (
    NUMBER,
    OBJECT,
    TEXT,
    Kind,
    check_fields,
)

_PATH = Path(__file__).with_name("published.toml")
JOINT = "joint audio and video from text"
_FIELDS = {
    "model": TEXT,
    "benchmark": Kind(f"one of {', '.join(COLUMNS)}", lambda v: v in COLUMNS),
    "mode": Kind(f"one of {', '.join(MODES)}", lambda v: v in MODES),
    "task": TEXT,
    "source": TEXT,
    "url": TEXT,
    "read": TEXT,
    "disputed": TEXT,
    "states": OBJECT,
    "columns": OBJECT,
}
# Fields that every row has at the top; those of `states` are the others.
_ALWAYS = ("benchmark", "mode")
_NEEDED = ("prompts", "num_prompts")


@dataclass(frozen=True)
class PublishedRow:
    """What a paper says of a model.

    Attributes:
        model: its name.
        benchmark: whose columns these are.
        mode: of the program that measured, as far as one can tell.
        task: what the model was asked for.
        source: paper and table.
        url: of the paper.
        read: where the numbers were read.
        disputed: what speaks against them; "" where nothing is known to.
        states: fields of the protocol block that are known.
        columns: column -> number.
    """

    model: str
    benchmark: str
    mode: str
    task: str
    source: str
    url: str
    read: str
    disputed: str
    states: Mapping[str, Any]
    columns: Mapping[str, float]

    @property
    def not_stated(self) -> tuple[str, ...]:
        """Return the fields of the protocol block that nobody knows of this row."""
        names = (field.name for field in fields(Protocol))
        return tuple(n for n in names if n not in self.states and n not in _ALWAYS)


def read_published_rows(
    path: str | os.PathLike[str] | None = None,
) -> list[PublishedRow]:
    """Read a file of published rows.

    Args:
        path: a .toml file of ``[[row]]`` tables; None for the one that is shipped.

    Raises:
        ValueError: the file is missing or damaged, or a row has an unknown column.
    """
    path = _PATH if path is None else Path(path)
    try:
        with path.open("rb") as stream:
            found = tomllib.load(stream)
    except FileNotFoundError as error:
        raise ValueError(f"published rows {path} do not exist") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"published rows {path} are no TOML: {error}") from error
    rows = found.get("row")
    if not isinstance(rows, list) or not rows:
        raise ValueError(f"published rows {path} must hold [[row]] tables")
    return [_row(values, f"{path}, row {n}: ") for n, values in enumerate(rows, 1)]


def beside(
    rows: Sequence[PublishedRow], protocol: Protocol
) -> tuple[list[PublishedRow], dict[str, str]]:
    """Choose the rows that may stand beside ours.

    Args:
        rows: of `read_published_rows`.
        protocol: of our table.

    Returns:
        Those rows, and for all others of the benchmark, by model and source, why not.
    """
    fitting, others = [], {}
    for row in rows:
        if row.benchmark != protocol.benchmark:
            continue
        reason = _misfit(row, protocol)
        if reason is None:
            fitting.append(row)
        else:
            others[f"{row.model} ({row.source})"] = reason
    return fitting, others


def _misfit(row: PublishedRow, protocol: Protocol) -> str | None:
    """Say in what a row differs from our protocol, None where it may stand with it."""
    if row.mode != protocol.mode:
        return f"it is of mode {row.mode!r}, ours of {protocol.mode!r}"
    if row.task != JOINT:
        return f"its task is another: {row.task}"
    for name in _NEEDED:
        if name not in row.states:
            return f"it does not state {name}"
    values = protocol.to_json()
    for name, stated in row.states.items():
        ours = values[name]
        if isinstance(stated, Mapping):
            ours = {key: ours[key] for key in stated if key in ours}
            stated = {key: stated[key] for key in ours}
        if stated != ours:
            return f"its {name} differ from ours"
    return None


def _row(values: Any, where: str) -> PublishedRow:
    defaults = {"task": JOINT, "disputed": "", "states": {}}
    values = {**defaults, **values} if isinstance(values, dict) else values
    check_fields(values, _FIELDS, where)
    for name in values:
        if name not in _FIELDS:
            raise ValueError(f"{where}unknown field {name!r}")
    names = [field.name for field in fields(Protocol)]
    for name in values["states"]:
        if name not in names or name in _ALWAYS:
            raise ValueError(f"{where}states no field of the protocol: {name!r}")
    known = columns_of(values["benchmark"])
    for key, number in values["columns"].items():
        if key not in known:
            raise ValueError(f"{where}unknown column {key!r}")
        if not NUMBER.accepts(number):
            raise ValueError(f"{where}{key} must be a number, got {number!r}")
    return PublishedRow(**values)

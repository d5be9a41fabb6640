"""What a run keeps of every prompt: one line of ``records.jsonl``.

======================  ================================================================
``row``                 row of the prompts file, from 0; names the clip
``prompt``              its text
``status``              ``done``; ``failed`` (no candidate is usable); ``refused`` (a
                        model does not take the prompt)
``reason``              why it is not ``done``, else null
``best``                index of the chosen candidate, -1 without one
``rewards``             ``[N][V]`` raw rewards of the verifiers that guide; of the small
                        clips where there is a second stage
``judged``              ``[N][J]`` raw rewards of the verifiers that only watch
``sigmas``              ``[V]`` deviations that the aggregator had learned afterwards
``nfe``, ``decodes``,   what the search spent; the verifiers that only watch, and the
``verifier_calls``      decoding for them, are not counted; of both stages
``refined``             null without a second stage; else ``kept`` ``[K]``, the indices
                        of the candidates made large, best first, and ``rewards``
                        ``[K][V]`` and ``judged`` ``[K][J]`` of the large clips
``state``               base64 of the aggregator's state afterwards: the little-endian
                        bytes of the arrays that run.json lists
``image``               null without a picture that clips begin with; else its file's
                        name, and the first digits of its SHA-256
``clip_crc``            CRC-32 of the clip's file, null without one; older runs have
                        none
``crc``                 see `avits_jax.runs.log`
======================  ================================================================

Rewards are float32, written with as many digits as tell them apart, so reading gives
the same numbers; NaN is null, infinity the text "inf" or "-inf".
``pandas.read_json(path, lines=True)`` reads the file as it is.
"""

import base64
import math
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float

from avits_jax.files.json_values import (
    NUMBER,
    OBJECT,
    TEXT,
    Kind,
    check_fields,
    list_of,
    optional,
    whole,
)
from avits_jax.runs import log
from avits_jax.runs.stored import local_run

DONE, FAILED, REFUSED = "done", "failed", "refused"
RECORDS = "records.jsonl"

_INFINITE = ("inf", "-inf")
_REWARD = Kind(
    'float32 numbers, null, "inf" or "-inf"',
    lambda value: value is None or value in _INFINITE or NUMBER.accepts(value),
)
_TABLE = list_of(list_of(_REWARD))
_COUNT = whole()
_FIELDS = {
    "row": _COUNT,
    "prompt": TEXT,
    "status": Kind(
        f"{DONE}, {FAILED} or {REFUSED}", lambda v: v in (DONE, FAILED, REFUSED)
    ),
    "reason": optional(TEXT),
    "best": whole(-1),
    "rewards": _TABLE,
    "judged": _TABLE,
    "sigmas": list_of(optional(NUMBER)),
    "nfe": _COUNT,
    "decodes": _COUNT,
    "verifier_calls": _COUNT,
    "state": TEXT,
    "clip_crc": optional(whole(0, 2**32 - 1)),
    "refined": optional(OBJECT),
    "image": optional(TEXT),
}
_REFINED = {"kept": list_of(_COUNT), "rewards": _TABLE, "judged": _TABLE}


class RefinedRows(NamedTuple):
    """What verifiers say of the candidates that were made large, best first.

    Attributes:
        kept: their indices; the chosen one is the record's ``best``.
        rewards: of the guides.
        judged: of the verifiers that only watch.
    """

    kept: tuple[int, ...]
    rewards: Float[np.ndarray, "K V"]
    judged: Float[np.ndarray, "K J"]


@dataclass(frozen=True, slots=True)
class Record:
    """One prompt of a run; see the module for the meaning of each field.

    Attributes:
        state: the arrays' bytes, see `avits_jax.runs.states`.
        clip_crc: CRC-32 of the clip's file; None without one, or where unknown.
        refined: of the second stage; None without one.
        image: see `picture_mark`; None without a picture of the row's own.
    """

    row: int
    prompt: str
    status: str
    reason: str | None
    best: int
    rewards: Float[np.ndarray, "N V"]
    judged: Float[np.ndarray, "N J"]
    sigmas: tuple[float | None, ...]
    nfe: int
    decodes: int
    verifier_calls: int
    state: bytes
    clip_crc: int | None = None
    refined: RefinedRows | None = None
    image: str | None = None


def read_records(folder: str | os.PathLike[str]) -> Iterator[Record]:
    """Read the records of a run folder in the order of their rows.

    Args:
        folder: of ``avits run`` or ``avits merge``, finished or not; may be in a store.

    Raises:
        ValueError: the file is damaged, or holds records out of order.

    Example:
        >>> for record in read_records("runs/many"):
        ...     print(record.prompt, record.rewards.mean(axis=0))
    """
    with local_run(folder) as local:
        yield from _read(local)


def _read(folder: Path) -> Iterator[Record]:
    path = folder / RECORDS
    before = -1
    for number, entry in enumerate(log.read(path), start=1):
        try:
            record = _from_entry(entry)
        except ValueError as error:
            raise ValueError(
                f"{path} holds no records of a run: line {number} {error}"
            ) from error
        if record.row <= before:
            raise ValueError(
                f"{path} holds records out of order: line {number} is of row "
                f"{record.row}, the one before of row {before}"
            )
        before = record.row
        yield record


def fitting(
    records: Iterable[Record], made: Mapping[str, Any], folder: Path
) -> Iterator[Record]:
    """Yield records as long as they are of the verifiers that run.json names.

    Args:
        records: of a run folder.
        made: its run.json.
        folder: for the error.

    Raises:
        ValueError: a record has rewards of more or fewer verifiers.
    """
    expected = len(made["verifiers"]), len(made["judges"]), len(made["verifiers"])
    for record in records:
        parts = record.rewards.shape[1], record.judged.shape[1], len(record.sigmas)
        if len(record.rewards) == 0:
            parts = *expected[:2], parts[2]  # a prompt that was refused has none
        if parts != expected:
            raise ValueError(
                f"{folder / RECORDS} does not fit run.json: row {record.row} has "
                f"rewards of {parts[0]} guides and {parts[1]} judges and "
                f"{parts[2]} sigmas, there are {expected[0]} guides and "
                f"{expected[1]} judges"
            )
        large = record.refined
        if large is not None and large.kept:
            widths = large.rewards.shape[1], large.judged.shape[1]
            if widths != expected[:2]:
                raise ValueError(
                    f"{folder / RECORDS} does not fit run.json: the refined clips of "
                    f"row {record.row} have rewards of {widths[0]} guides and "
                    f"{widths[1]} judges, there are {expected[0]} and {expected[1]}"
                )
        yield record


def to_entry(record: Record) -> dict[str, Any]:
    """Return a record as JSON values."""
    large = record.refined
    refined = (
        None
        if large is None
        else {
            "kept": list(large.kept),
            "rewards": _table(large.rewards),
            "judged": _table(large.judged),
        }
    )
    more = {"refined": refined, "image": record.image}
    return {
        "row": record.row,
        "prompt": record.prompt,
        "status": record.status,
        "reason": record.reason,
        "best": record.best,
        "rewards": _table(record.rewards),
        "judged": _table(record.judged),
        "sigmas": list(record.sigmas),
        "nfe": record.nfe,
        "decodes": record.decodes,
        "verifier_calls": record.verifier_calls,
        "state": base64.b64encode(record.state).decode("ascii"),
        "clip_crc": record.clip_crc,
    } | {k: v for k, v in more.items() if v is not None}


def _from_entry(entry: dict[str, Any]) -> Record:
    """Return the record of an entry; raise ValueError for one of wrong fields."""
    # Not all runs have them.
    entry = {"clip_crc": None, "refined": None, "image": None, **entry}
    check_fields(entry, _FIELDS)
    count = len(entry["rewards"])
    if entry["best"] not in (range(count) if entry["status"] == DONE else (-1,)):
        raise ValueError(
            f"has a wrong value: {entry['status']!r} of {count} candidates, whose "
            f"'best' is {entry['best']}"
        )
    if len(entry["judged"]) != count:
        raise ValueError(
            f"has a wrong value: 'judged' is of {len(entry['judged'])} candidates, "
            f"must be of {count}"
        )
    return Record(
        row=entry["row"],
        prompt=entry["prompt"],
        status=entry["status"],
        reason=entry["reason"],
        best=entry["best"],
        rewards=_array(entry["rewards"]),
        judged=_array(entry["judged"]),
        sigmas=tuple(entry["sigmas"]),
        nfe=entry["nfe"],
        decodes=entry["decodes"],
        verifier_calls=entry["verifier_calls"],
        state=_bytes(entry["state"]),
        clip_crc=entry["clip_crc"],
        refined=_refined(entry["refined"], count, entry["best"]),
        image=entry["image"],
    )


def _refined(entry: Any, count: int, best: int) -> RefinedRows | None:
    if entry is None:
        return None
    check_fields(entry, _REFINED, "refined: ")
    kept, rewards, judged = entry["kept"], entry["rewards"], entry["judged"]
    if not len(kept) == len(rewards) == len(judged):
        raise ValueError("has a wrong value: 'refined' has columns of unequal length")
    if not set(kept) <= set(range(count)) or (best >= 0 and best not in kept):
        raise ValueError(
            f"has a wrong value: 'refined' is of candidates {kept} of {count}, the "
            f"best of which is {best}"
        )
    return RefinedRows(tuple(kept), _array(rewards), _array(judged))


def _bytes(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except ValueError as error:
        raise ValueError(f"has a wrong value: 'state' is no base64: {error}") from error


def _table(rewards: np.ndarray) -> list[list[float | str | None]]:
    return [[_number(reward) for reward in row] for row in rewards]


def _number(reward: np.float32) -> float | str | None:
    if math.isnan(reward):
        return None
    if math.isinf(reward):
        return str(reward)
    # Few digits can, very rarely, round to a neighbour on their way through a double.
    short = float(str(reward))
    return short if np.float32(short) == reward else float(reward)


def _array(table: list[list[float | str | None]]) -> np.ndarray:
    rows = [[math.nan if v is None else float(v) for v in row] for row in table]
    width = len(rows[0]) if rows else 0
    if any(len(row) != width for row in rows):
        raise ValueError("has a wrong value: rewards of unequal length")
    return np.asarray(rows, np.float32).reshape(len(rows), width)

"""What a run keeps of every prompt: one line of ``records.jsonl``.

======================  ================================================================
``row``                 row of the prompts file, from 0; names the clip
``prompt``              its text
``status``              ``done``; ``failed`` (no candidate is usable); ``refused`` (a
                        model does not take the prompt)
``reason``              why it is not ``done``, else null
``best``                index of the chosen candidate, -1 without one
``rewards``             ``[N][V]`` raw rewards of the verifiers that guide
``judged``              ``[N][J]`` raw rewards of the verifiers that only watch
``sigmas``              ``[V]`` deviations that the aggregator had learned afterwards
``nfe``, ``decodes``,   what the search spent; the verifiers that only watch, and the
``verifier_calls``      decoding for them, are not counted
``state``               base64 of the aggregator's state afterwards: the little-endian
                        bytes of the arrays that run.json lists
``crc``                 see `avits_jax.runs.log`
======================  ================================================================

Rewards are float32, written with as many digits as tell them apart, so reading gives
the same numbers; NaN is null, infinity the text "inf" or "-inf".
``pandas.read_json(path, lines=True)`` reads the file as it is.
"""

import base64
import math
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from avits_jax.runs import log

DONE, FAILED, REFUSED = "done", "failed", "refused"
RECORDS = "records.jsonl"


@dataclass(frozen=True, slots=True)
class Record:
    """One prompt of a run; see the module for the meaning of each field.

    Attributes:
        state: the arrays' bytes, see `avits_jax.runs.states`.
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


def read_records(folder: str | os.PathLike[str]) -> Iterator[Record]:
    """Read the records of a run folder in the order of their rows.

    Args:
        folder: of ``avits run`` or ``avits merge``, finished or not.

    Raises:
        ValueError: the file is damaged.

    Example:
        >>> for record in read_records("runs/many"):
        ...     print(record.prompt, record.rewards.mean(axis=0))
    """
    path = Path(folder) / RECORDS
    for entry in log.read(path):
        try:
            yield _from_entry(entry)
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(f"{path} holds no records of a run: {error!r}") from error


def to_entry(record: Record) -> dict[str, Any]:
    """Return a record as JSON values."""
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
    }


def _from_entry(entry: dict[str, Any]) -> Record:
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
        state=base64.b64decode(entry["state"], validate=True),
    )


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
    return np.asarray(rows, np.float32).reshape(len(rows), width)

"""Run folders made without a search, to be damaged by tests."""

import json
import zlib
from pathlib import Path

import numpy as np
from test_run_folder import facts
from test_run_records import record

from avits_jax import aggregation
from avits_jax.runs import RunFolder, clip_name, log, states
from avits_jax.runs.records import RECORDS, to_entry

FRESH = states.on_host(aggregation.arw([1.0], "closed_form").init(1))
CLIP = b"clip"


def one_record(row, **changes):
    """Return the record of a row, whose clip is `CLIP`."""
    fields = {
        "rewards": [[0.5], [1.0]],
        "row": row,
        "prompt": f"prompt {row}",
        "sigmas": (0.5,),
        "state": states.pack(FRESH),
        "clip_crc": zlib.crc32(CLIP),
    }
    return record(**(fields | changes))


def make_shard(path, shard, rows, *, total=None, digest="d", **changes):
    """Write the folder of a shard that has done ``rows`` of ``total``."""
    settings = {"aggregator": "arw", "weights": [1.0], "optimizer": "closed_form"}
    made = facts(**settings, shard=shard) | {"state": states.layout(FRESH)}
    with RunFolder(path, made) as folder:
        if total is not None:
            folder.put_rows({"count": total, "digest": digest})
        for row in rows:
            (folder.path / "clips" / clip_name(row)).write_bytes(CLIP)
            folder.append(one_record(row, **changes), 0.5)
    return path


def put_entries(path, entries):
    """Write records, of whatever fields, with checksums that fit."""
    path = Path(path)
    (path / RECORDS).unlink(missing_ok=True)
    for entry in entries:
        entry = {key: value for key, value in entry.items() if key != "crc"}
        log.append(path / RECORDS, entry, sync=False)


def entries(rows=(0, 2, 4)):
    """Return the entries of `make_shard`."""
    return [to_entry(one_record(row)) for row in rows]


def change_json(path, **changes):
    """Change fields of a JSON file; ... takes one away."""
    content = json.loads(path.read_text()) | changes
    kept = {key: value for key, value in content.items() if value is not ...}
    path.write_text(json.dumps(kept))


def failed(**changes):
    """Return what makes a record one of a prompt that failed."""
    nothing = np.zeros((0, 0), np.float32)
    fields = {"status": "refused", "reason": "no", "best": -1, "clip_crc": None}
    return fields | {"rewards": nothing, "judged": nothing} | changes

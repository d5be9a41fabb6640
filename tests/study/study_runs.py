"""Run folders that keep rewards, made without a search."""

import csv
import zlib

import numpy as np

from avits_jax.runs import RunFolder, clip_name
from avits_jax.runs.records import DONE, FAILED, Record

CLIP = b"clip"
GUIDES, JUDGES = ("red", "green"), ("blue",)


def make_run(path, tables, *, guides=GUIDES, judges=JUDGES, search="best_of_n"):
    """Write a run; a prompt is a table ``[N, V]``, guides first, or failed: None."""
    made = {
        "created": "2026-01-01T00:00:00+00:00",
        "prompts": "p.txt",
        "plan": {},
        "settings": {"search": search},
        "verifiers": list(guides),
        "judges": list(judges),
        "state": [],
        "versions": {},
        "device": "cpu",
    }
    with RunFolder(path, made) as folder:
        for row, table in enumerate(tables):
            (folder.path / "clips" / clip_name(row)).write_bytes(CLIP)
            folder.append(_record(row, table, len(guides)), 0.1)
    return path


def drawn(num_prompts, num_candidates=4, seed=0, num_verifiers=3):
    """Rewards ``[P, N, V]`` on unlike scales that share what is good."""
    rng = np.random.default_rng(seed)
    good = rng.normal(size=(num_prompts, num_candidates, 1))
    noise = rng.normal(size=(num_prompts, num_candidates, num_verifiers))
    scales = 10.0 ** np.arange(num_verifiers)
    return ((good + noise) * scales).astype(np.float32)


def write_truth(path, truth):
    """Write truth ``[P, N]`` as a table."""
    with path.open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["prompt", "candidate", "note", "right"])
        for prompt, row in enumerate(truth):
            rows.writerows(
                [prompt, candidate, "x", int(right)]
                for candidate, right in enumerate(row)
            )
    return path


def _record(row, table, num_guides):
    done = table is not None
    table = np.asarray(table if done else np.zeros((0, 0)), np.float32)
    return Record(
        row=row,
        prompt=f"prompt {row}",
        status=DONE if done else FAILED,
        reason=None if done else "no",
        best=0 if done else -1,
        rewards=table[:, :num_guides],
        judged=table[:, num_guides:],
        sigmas=(None,) * num_guides,
        nfe=8,
        decodes=2,
        verifier_calls=4,
        state=b"",
        clip_crc=zlib.crc32(CLIP) if done else None,
    )

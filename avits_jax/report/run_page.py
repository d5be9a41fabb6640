"""Render report.html of a run of many prompts."""

import math
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from avits_jax.catalogue.scales import judges_in_words, limits_of
from avits_jax.files.atomic import write_text
from avits_jax.media.labels import weights_label
from avits_jax.report.domination import domination
from avits_jax.report.first_candidates import FirstOfRun, first_of_run
from avits_jax.report.page import day_and_time, environment
from avits_jax.report.run_charts import CountChart, Limits, over_counts, over_prompts
from avits_jax.report.settings import in_words
from avits_jax.runs.folder import CLIPS, MERGED, clip_name, read_run
from avits_jax.runs.records import Record
from avits_jax.runs.summary import Summary, gains, refined_rewards, summarise

_MAKERS = ("model", "search", "aggregator")


def write_run_report(folder: str | os.PathLike[str]) -> Path:
    """Render ``report.html`` from run.json and the records of a run folder.

    The page needs no network; clips are links into the folder beside it. An unfinished
    run gives the page of what is done.

    Raises:
        ValueError: run.json or the records are missing or damaged.
        OSError: the page cannot be written.
    """
    folder = Path(folder)
    made = read_run(folder)
    page = environment().get_template("run.html.j2")
    view = _view(folder, made, summarise(folder))
    return write_text(folder / "report.html", page.render(view))


def _view(folder: Path, made: dict[str, Any], summary: Summary) -> dict[str, Any]:
    guides, judges = made["verifiers"], made["judges"]
    total = summary.counts.total()
    done = len(summary.rows)
    settings = made["settings"] | made["plan"]
    limits = [limits_of(name) for name in guides + judges]
    return {
        "made": made,
        # A run in code names what it likes.
        "made_by": [settings[key] for key in _MAKERS if settings.get(key)],
        "label": weights_label(made.get("random_weights", [])),
        "notices": made.get("notices", []),
        "merged": len(made.get("runs", [])) if made["kind"] == MERGED else 0,
        "created": day_and_time(made["created"]),
        "summary": summary,
        "total": total,
        "done": done,
        "failed": total - done,
        "names": [(name, True) for name in guides] + [(name, False) for name in judges],
        "gains": gains(summary, guides, judges),
        "domination": domination(summary.gained, len(guides)),
        "judged": [(name, judges_in_words(name)) for name in guides + judges],
        "refined": _refined(summary),
        "charts": _reward_charts(summary, limits),
        "first": _first_charts(
            first_of_run(folder, made, summary.most_candidates), limits
        ),
        "sigmas": over_prompts(summary.rows, summary.sigmas, zero=True),
        "last_sigmas": summary.sigmas[-1].tolist() if done else [],
        "shown": [_row(folder, record) for record in summary.shown],
        "seconds_each": summary.seconds / max(summary.num_timed, 1),
        "untimed": max(total - summary.num_timed, 0),
        "settings": in_words(settings),
    }


def _refined(summary: Summary) -> list[tuple[float, float]]:
    """Return mean rewards before and after of every verifier, over refined clips."""
    known = np.isfinite(summary.refined) & np.isfinite(summary.chosen)
    if not known.any():
        return []
    pairs = zip(summary.chosen.T, summary.refined.T, known.T, strict=True)
    return [
        (float(before[use].mean()), float(after[use].mean()))
        if use.any()
        else (math.nan, math.nan)
        for before, after, use in pairs
    ]


def _reward_charts(summary: Summary, limits: Sequence[Limits]) -> list[Any]:
    """Return a chart of chosen and mean rewards for every verifier."""
    if not len(summary.rows):
        return []
    pairs = np.stack([summary.chosen, summary.mean], axis=-1)
    return [
        over_prompts(summary.rows, pairs[:, place], ends)
        for place, ends in enumerate(limits)
    ]


def _first_charts(
    first: FirstOfRun | None, limits: Sequence[Limits]
) -> list[CountChart | None]:
    """Return a chart of rewards over numbers of candidates for every verifier."""
    if first is None:
        return []
    return [
        over_counts(first.counts, line[:, None], ends)
        for line, ends in zip(first.rewards.T, limits, strict=True)
    ]


def _row(folder: Path, record: Record) -> dict[str, Any]:
    clip = f"{CLIPS}/{clip_name(record.row)}"
    rewards: list[float | None] = []
    if record.best >= 0:
        columns = (record.rewards, record.judged)
        rewards = [float(v) for table in columns for v in table[record.best]]
    return {
        "record": record,
        "clip": clip if (folder / clip).is_file() else None,
        "rewards": rewards,
        "refined": refined_rewards(record).tolist() if record.refined else [],
    }

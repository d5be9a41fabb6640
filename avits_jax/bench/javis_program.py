"""JavisBench's evaluation program on scores and features that are known already.

What it prints, the JSON that it rewrites after every group of metrics, what it skips,
where it stops, and the tables of scores beside it, so that scripts written for it read
ours.

Upstream: JavisVerse/JavisDiT at b505b37, JavisEvaluator of eval/javisbench/main.py.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float

from avits_jax.bench.categories import Members, members
from avits_jax.bench.javis_summary import (
    DISTANCES,
    Sets,
    distance_summaries,
    mean,
    score_summary,
)
from avits_jax.bench.prompt_rows import PromptRows

GROUPS = {
    "fvd+kvd+fad": tuple(DISTANCES),
    "video-quality": ("visual_quality", "motion_quality"),
    "audio-quality": ("audio_quality",),
    "imagebind-score": ("ib_tv", "ib_ta", "ib_av"),
    "cxxp-score": ("clip_score", "clap_score", "cavp_score"),
    "av-align": ("av_align",),
    "av-score": ("avh_score", "javis_score"),
    "desync": ("desync",),
}
"""The program's groups of metrics in the order of ``--metrics all``."""
REWARD_GROUP = "av-reward"
ALIGNMENT_TABLE, REWARD_TABLE = "_avalign.csv", "_avreward.csv"

_REWARDS = {
    "visual_quality": "visual_quality",
    "motion_quality": "motion_quality",
    "audio_quality": "audio_quality",
    "ib_tv": "ib_tv",
    "ib_ta": "ib_ta",
    "ib_av": "ib_av",
    "desync_scores": "desync",
}
# Scores that the program leaves out together, by the name it is told.
_REWARD_SETS = {
    "visual_quality": ("visual_quality", "motion_quality"),
    "audio_quality": ("audio_quality",),
    "ib_tv": ("ib_tv", "ib_ta", "ib_av"),
    "desync": ("desync_scores",),
}
_ALIGNMENT = {
    "av_align_scores": "av_align",
    "avh_scores": "avh_score",
    "javis_scores": "javis_score",
    "desync_scores": "desync",
}


@dataclass(frozen=True)
class Inputs:
    """What the program would have computed.

    Attributes:
        prompts: the CSV.
        folder: of the clips, for the paths that tables of scores hold.
        scores: key -> one number per row of the CSV.
        real: "i3d" and "audioclip" features of real clips, or nothing.
        generated: likewise of the clips that are judged.
    """

    prompts: PromptRows
    folder: str
    scores: Mapping[str, Float[np.ndarray, " P"]]
    real: Sets
    generated: Sets


class Options(NamedTuple):
    """Options of the program's command line.

    Attributes:
        metrics: groups in the order in which they are worked on; ("all",) for all.
        exclude: groups, or single scores of ``cxxp-score`` and ``av-reward``.
        verbose: write the scores of all clips and the means of all categories.
        eval_num: look at the first rows only.
        force_eval: work on groups again that the JSON has.
        save_avalign_scores: write a table of the synchrony scores.
    """

    metrics: Sequence[str] = ("all",)
    exclude: Sequence[str] = ()
    verbose: bool = False
    eval_num: int | None = None
    force_eval: bool = False
    save_avalign_scores: bool = False


class Step(NamedTuple):
    """What the program does next.

    Attributes:
        line: what it prints, without the newline; None where it prints nothing.
        results: what it writes to its JSON; None where it writes none.
        tables: ending of the file's name -> table that it writes.
    """

    line: str | None
    results: dict[str, Any] | None = None
    tables: Mapping[str, PromptRows] = {}


def run_program(
    inputs: Inputs, options: Options, existing: Mapping[str, Any] | None = None
) -> Iterator[Step]:
    """Run the program; it goes on as its steps are taken.

    Args:
        inputs: scores and features of all rows.
        options: of its command line.
        existing: what its JSON holds already; keys that it does not know stay.

    Yields:
        What it prints and writes, in order.

    Raises:
        ValueError: a group is unknown, a score is missing, or a category has too few
            clips for FVD. What was yielded before stands.
    """
    inputs = _limited(inputs, options.eval_num)
    if options.eval_num:
        yield Step(f"Evaluate the first {options.eval_num} samples.")
    groups = members(inputs.prompts.rows) if options.verbose else None
    results = dict(existing or {})
    columns: dict[str, list[float]] = {}
    for group in _chosen(options.metrics):
        items = tuple(_REWARDS) if group == REWARD_GROUP else GROUPS[group]
        if not options.force_eval and all(item in results for item in items):
            yield Step(f"{group} calculated. skip.")
        elif group in options.exclude:
            yield Step(f"{group} excluded. skip.")
        else:
            made = _results(group, inputs, groups, options.exclude)
            results |= made
            columns |= _kept(group, made, inputs, options)
            yield Step(_line(items, results), dict(results))
    tables = _tables(inputs, columns, options)
    if tables:
        yield Step(None, None, tables)


def _chosen(metrics: Sequence[str]) -> Sequence[str]:
    # The program, too, reads a text letter by letter and fails at the first one.
    if list(metrics) == ["all"]:
        return tuple(GROUPS)
    for group in metrics:
        if group not in GROUPS and group != REWARD_GROUP:
            known = ", ".join((*GROUPS, REWARD_GROUP))
            raise ValueError(
                f"metrics must be groups among {known}, or the list of 'all' alone; "
                f"got {group!r}"
            )
    return metrics


def _limited(inputs: Inputs, count: int | None) -> Inputs:
    if not count:
        return inputs
    prompts = inputs.prompts._replace(rows=inputs.prompts.rows[:count])
    generated = {key: rows[:count] for key, rows in inputs.generated.items()}
    scores = {key: values[:count] for key, values in inputs.scores.items()}
    return replace(inputs, prompts=prompts, scores=scores, generated=generated)


def _results(
    group: str, inputs: Inputs, groups: Members | None, exclude: Sequence[str]
) -> dict[str, Any]:
    """Return what a group adds to the JSON, in the program's order."""
    if group == "fvd+kvd+fad":
        return distance_summaries(inputs.real, inputs.generated, groups)
    if group == REWARD_GROUP:
        left = [
            i for name, part in _REWARD_SETS.items() if name in exclude for i in part
        ]
        return {
            item: mean(_scores(inputs, key))
            for item, key in _REWARDS.items()
            if item not in left
        }
    some = group == "cxxp-score"
    return {
        item: score_summary(_scores(inputs, item), groups)
        for item in GROUPS[group]
        if not (some and item in exclude)
    }


def _scores(inputs: Inputs, key: str) -> Float[np.ndarray, " P"]:
    if key not in inputs.scores:
        raise ValueError(f"scores must hold {key!r}, got {', '.join(inputs.scores)}")
    found, count = inputs.scores[key], len(inputs.prompts.rows)
    if len(found) != count:
        raise ValueError(f"{key} must have {count} scores, got {len(found)}")
    return found


def _line(items: Sequence[str], results: Mapping[str, Any]) -> str:
    """Return what the program prints of a group."""
    parts = []
    for item in items:
        found = results.get(item)
        value = found["overall"] if isinstance(found, Mapping) else found
        shown = "NOT FOUND" if value is None else f"{value:.4f}"
        parts.append(f"{item}: {shown}; ")
    return "".join(parts)


def _kept(
    group: str, made: Mapping[str, Any], inputs: Inputs, options: Options
) -> dict[str, list[float]]:
    """Return the columns that a group adds to a table of scores."""
    if group == REWARD_GROUP:
        names = {item: _REWARDS[item] for item in made}
    elif options.save_avalign_scores:
        names = {name: key for name, key in _ALIGNMENT.items() if key in made}
    else:
        names = {}
    return {name: inputs.scores[key].tolist() for name, key in names.items()}


def _tables(
    inputs: Inputs, columns: Mapping[str, Sequence[float]], options: Options
) -> dict[str, PromptRows]:
    """Return the tables of scores: the CSV, the clips' paths, and the scores."""
    wanted = {
        ALIGNMENT_TABLE: options.save_avalign_scores,
        REWARD_TABLE: REWARD_GROUP in options.metrics and bool(columns),
    }
    names = tuple(inputs.prompts.columns)
    paths = ("pred_video_path", "pred_audio_path")
    rows = [
        row
        | {
            name: f"{inputs.folder}/sample_{place:04d}.{ending}"
            for name, ending in zip(paths, ("mp4", "wav"), strict=True)
        }
        | {name: repr(values[place]) for name, values in columns.items()}
        for place, row in enumerate(inputs.prompts.rows)
    ]
    table = PromptRows((*names, *paths, *columns), rows)
    return {ending: table for ending, asked in wanted.items() if asked}

"""Render report.html, one self-contained page, from a run folder."""

import math
import os
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from avits_jax.catalogue.scales import judges_in_words
from avits_jax.files.atomic import write_text
from avits_jax.media.labels import weights_label
from avits_jax.report.charts import contributions, lines
from avits_jax.report.embedded import candidate_clips, data_uri
from avits_jax.report.first_candidates import first_of_results
from avits_jax.report.previews import line_layout
from avits_jax.report.settings import in_words
from avits_jax.runs.results import (
    RankedRow,
    first_is_one_sample,
    load_results,
    ranked_rows,
)

# A page of very many candidates would be slow to open; the table still names all.
_MAX_CARDS = 64
_LONG_PROMPT = 240
_TEMPLATES = Path(__file__).parent / "templates"


def write_report(folder: str | os.PathLike[str]) -> Path:
    """Render ``report.html`` from results.json, the clips and previews/ of a folder.

    The page holds everything it shows: it needs no network and can be sent as one file.
    Of the candidates' clips that were kept it holds as many as 16 MiB allow, the best
    first. A missing clip or preview is said on the page. Text from the run is escaped.

    Raises:
        ValueError: results.json is missing or of another format.
        OSError: the page cannot be written.
    """
    folder = Path(folder)
    results = load_results(folder)
    page = environment().get_template("report.html.j2").render(_view(folder, results))
    return write_text(folder / "report.html", page)


def environment() -> Any:
    """Return the jinja2 environment of the pages: escaping, with number filters."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    made = Environment(
        loader=FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters["number"] = format_number
    made.filters["capitalize_first"] = lambda text: text[:1].upper() + text[1:]
    made.filters["signed"] = lambda value: format_number(value, signed=True)
    return made


def format_number(value: Any, signed: bool = False) -> str:
    """Write a number for reading: three decimals, or three digits where too few."""
    if value is None or isinstance(value, bool) or not isinstance(value, int | float):
        return "–" if value is None else str(value)
    if isinstance(value, int):
        text = f"{value:{'+' if signed else ''},}"
    elif not math.isfinite(value):
        text = str(value)
    elif value == 0 or 1e-3 <= abs(value) < 1e4:
        text = f"{value:{'+' if signed else ''}.3f}"
    else:
        text = f"{value:{'+' if signed else ''}.3g}"
    return text.replace("-", "−")


def _view(folder: Path, results: Mapping[str, Any]) -> dict[str, Any]:
    """Return everything the template shows."""
    rows = ranked_rows(results)
    verifiers = results["verifiers"]
    history = results.get("sigma_history") or []
    sigmas = [v.get(key) for v in verifiers for key in ("sigma_before", "sigma_after")]
    known = [sigma for sigma in sigmas if sigma is not None]
    weights = [v["weight"] for v in verifiers if v["guides"]]
    best = next((row for row in rows if row.best), None)
    one = _one_sample(results, rows)
    shown = rows[:_MAX_CARDS]
    others = [row for row in (one, *shown) if row is not None and not row.best]
    clips = candidate_clips(folder, dict.fromkeys(row.index for row in others))
    return {
        "results": results,
        "guides": [v for v in verifiers if v["guides"]],
        "judges": [v for v in verifiers if not v["guides"]],
        "label": weights_label(results.get("random_weights", [])),
        "notices": results.get("notices", []),
        "created": day_and_time(results["created"]),
        "refined": results.get("refined", []),
        "rows": rows,
        "best": best,
        "one": one,
        "clips": clips,
        "reasons": _reasons(rows, verifiers, one),
        "first": first_of_results(results),
        "num_failed": sum(row.failed for row in rows),
        "long_prompt": len(results["prompt"]) > _LONG_PROMPT,
        "clip_uri": data_uri(folder / "best.mp4", "video/mp4"),
        "stacks": contributions(rows, weights),
        "sigma_top": max(known, default=0.0),
        "history": lines(history) if len(history) > 1 else None,
        "cards": [(row, _preview(folder, row)) for row in shown],
        "preview_lines": _preview_lines(results["clip"]),
        "settings": _settings(results),
    }


def day_and_time(created: str) -> str:
    """Return an ISO time as a person writes it; other text as it is."""
    try:
        moment = datetime.fromisoformat(created)
    except ValueError:
        return created
    zone = moment.tzname() or ""
    return f"{moment.day} {moment:%B %Y, %H:%M} {zone}".strip()


def _reasons(
    rows: Sequence[RankedRow],
    verifiers: Sequence[Mapping[str, Any]],
    one: RankedRow | None,
) -> list[dict[str, Any]]:
    """Say for each verifier how the chosen candidate stands among the others.

    Args:
        rows: ranked.
        verifiers: of the results.
        one: what one would have got without a search, if that is known.
    """
    valid = [row for row in rows if not row.failed]
    best = next((row for row in valid if row.best), None)
    if best is None:
        return []
    reasons = []
    for column, verifier in enumerate(verifiers):
        rewards = [row.rewards[column] for row in valid]
        known = [reward for reward in rewards if reward is not None]
        own = best.rewards[column]
        if own is None:
            continue
        mean = sum(known) / len(known)
        place = 1 + sum(reward > own for reward in known)
        reasons.append(
            {
                "column": column,
                "name": verifier["name"],
                "guides": verifier["guides"],
                "place": place,
                "count": len(known),
                "reward": own,
                "mean": mean,
                "one": None if one is None else one.rewards[column],
                "judges": judges_in_words(verifier["name"]),
                # Exactly zero where all are alike.
                "gain": sum(own - reward for reward in known) / len(known),
            }
        )
    return reasons


def _one_sample(
    results: Mapping[str, Any], rows: Sequence[RankedRow]
) -> RankedRow | None:
    """Return the candidate that one would have got without a search, if it is there."""
    if not first_is_one_sample(results["settings"]) or len(rows) < 2:
        return None
    return next((row for row in rows if row.index == 0), None)


def _preview(folder: Path, row: RankedRow) -> str | None:
    return data_uri(folder / "previews" / f"candidate_{row.index:03d}.png", "image/png")


def _preview_lines(clip: Mapping[str, Any]) -> list[str]:
    """Return the stretch of time that each line of a preview shows."""
    _, count = line_layout(clip["frames"])
    step = clip["frames"] / clip["fps"] / count
    return [f"{i * step:.3g} to {(i + 1) * step:.3g} s" for i in range(count)]


def _settings(results: Mapping[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    """Return titled groups of names and values for the settings tables."""
    clip = results["clip"]
    run = {
        "model": results["model"],
        "seed": results["seed"],
        "clip": f"{clip['frames']} frames of {clip['width']}x{clip['height']} "
        f"at {clip['fps']:g} fps, {clip['samples']:,} samples "
        f"at {clip['sample_rate']:,} Hz",
    }
    groups = [
        ("Run", {**run, **results["settings"]}),
        ("Aggregator", dict(results["aggregator"])),
        ("Versions", dict(results["versions"])),
    ]
    return [(title, in_words(values)) for title, values in groups if values]

"""The search's numbers as results.json (schema 1), and the run folder's files."""

import dataclasses
import math
from pathlib import Path
from typing import Any

import numpy as np

from avits_jax.cli.aggregators import Chosen, calibrated_rewards, learned_sigmas
from avits_jax.cli.backend import Backend
from avits_jax.cli.config import set_fields, write_config
from avits_jax.cli.errors import FAILED, CliError
from avits_jax.cli.options import MeshOptions, SearchOptions
from avits_jax.cli.program import Outcome
from avits_jax.runs import blame, facts
from avits_jax.runs.results import candidate_clip, first_is_one_sample
from avits_jax.types import Media, SearchOutput

FORMAT = 1
# What no result depends on.
_OWN = (
    *("out", "config", "force"),
    *(field.name for field in dataclasses.fields(MeshOptions)),
)


def check_any_succeeded(outcome: Outcome, names: tuple[str, ...]) -> None:
    """Raise CliError, naming who is to blame, if every candidate failed."""
    if int(outcome.found.output.best_index) < 0:
        raise CliError(blame(names, outcome.found), FAILED)


def make_results(
    prompt: str,
    options: SearchOptions,
    backend: Backend,
    chosen: Chosen,
    outcome: Outcome,
) -> dict[str, Any]:
    """Return everything that results.json says, as JSON values.

    Args:
        prompt: as typed.
        options: as resolved.
        backend: what ran.
        chosen: the aggregator.
        outcome: what the program gave.
    """
    output = outcome.found.output
    return {
        "format": FORMAT,
        "prompt": prompt,
        "model": options.model,
        "created": facts.now(),
        "seed": options.seed,
        "aggregator": {
            "name": chosen.name,
            "weights": list(chosen.weights),
            **{
                key: list(value) if isinstance(value, tuple) else value
                for key, value in chosen.parameters.items()
            },
        },
        "verifiers": _verifiers(options, chosen, outcome),
        "random_weights": list(backend.names.drawn),
        "notices": list(backend.names.notices),
        "candidates": _candidates(options, chosen, outcome),
        **_refined(options, outcome),
        "best_index": int(output.best_index),
        "clip": _clip(backend, output),
        "cost": {
            "nfe": int(output.nfe),
            "decodes": int(output.decodes),
            "verifier_calls": int(output.verifier_calls),
            "compile_seconds": round(outcome.compile_seconds, 3),
            "run_seconds": round(outcome.run_seconds, 3),
        },
        "settings": {
            **set_fields(options, without=("prompt", *_OWN)),
        },
        "versions": facts.versions(),
        "device": facts.device(),
    }


def write_files(
    folder: Path,
    results: dict[str, Any],
    options: SearchOptions,
    best: Media,
    media: Media,
    *,
    keep_candidates: bool,
) -> None:
    """Write a run's files into an empty folder.

    The first candidate's clip is always kept where it is what one would have got
    without a search, so that the page can show both.

    Args:
        folder: where.
        results: of `make_results`.
        options: as resolved; config.toml can be given to --config again.
        best: the chosen clip, without candidate axis.
        media: all candidates' clips.
        keep_candidates: write every candidate's clip, too.
    """
    from avits_jax.media import weights_label, write_clip, write_json, write_text
    from avits_jax.report import write_previews, write_report

    rates = {key: results["clip"][key] for key in ("fps", "sample_rate")}
    label = weights_label(results["random_weights"])
    write_clip(folder / "best.mp4", best.video, best.audio, **rates, comment=label)
    one = int(first_is_one_sample(results["settings"]))
    for index in range(len(media.video) if keep_candidates else one):
        clip = media.video[index], media.audio[index]
        # A broken candidate may hold NaN, which no file can show.
        if all(np.isfinite(part).all() for part in clip):
            path = candidate_clip(folder, index)
            path.parent.mkdir(exist_ok=True)
            write_clip(path, *clip, **rates, comment=label)
    write_previews(folder, media, **rates)
    write_json(folder / "results.json", results)
    config = set_fields(options, without=_OWN)
    write_text(folder / "config.toml", write_config(config))
    write_report(folder)


def _number(value: Any) -> float | None:
    return float(value) if math.isfinite(value) else None


def _verifiers(
    options: SearchOptions, chosen: Chosen, outcome: Outcome
) -> list[dict[str, Any]]:
    before = learned_sigmas(chosen, outcome.state_before)
    after = learned_sigmas(chosen, outcome.found.output.aggregator_state)
    rows = zip(options.verifiers, chosen.weights, before, after, strict=True)
    guides = [_verifier(*row, guides=True) for row in rows]
    return guides + [
        _verifier(name, 0.0, None, None, guides=False) for name in options.judges
    ]


def _verifier(
    name: str, weight: float, before: float | None, after: float | None, guides: bool
) -> dict[str, Any]:
    return {
        "name": name,
        "weight": weight,
        "sigma_before": before,
        "sigma_after": after,
        "guides": guides,
    }


def _candidates(
    options: SearchOptions, chosen: Chosen, outcome: Outcome
) -> list[dict[str, Any]]:
    """Return rewards, place and faults of every candidate; judges' rewards are last."""
    output = outcome.found.output
    rewards = np.asarray(output.rewards)
    calibrated = calibrated_rewards(chosen, rewards, output.aggregator_state)
    order = sorted(
        np.flatnonzero(~np.asarray(output.failed)), key=lambda i: -output.scores[i]
    )
    ranks = {int(index): rank for rank, index in enumerate(order, start=1)}
    said = np.concatenate([rewards, np.asarray(outcome.found.judged)], axis=1)
    broken = np.asarray(outcome.found.broken)
    return [
        {
            "index": index,
            "rank": ranks.get(index),
            "rewards": [_number(reward) for reward in said[index]],
            "calibrated": [
                *(_number(reward) for reward in calibrated[index]),
                *(None for _ in options.judges),
            ],
            "score": _number(output.scores[index]),
            "failed": index not in ranks,
            "reason": _reason(options.everyone, said[index], bool(broken[index])),
        }
        for index in range(len(rewards))
    ]


def _refined(options: SearchOptions, outcome: Outcome) -> dict[str, Any]:
    """Return rewards before and after of the candidates made large, best first."""
    refined = outcome.found.refined
    if refined is None:
        return {}
    output = refined.output
    before, after = (
        np.concatenate(pair, axis=1)
        for pair in (
            (output.rewards_before, refined.judged_before),
            (output.rewards, refined.judged),
        )
    )
    rows = [
        {
            "index": int(index),
            "rewards_before": [_number(reward) for reward in before[row]],
            "rewards": [_number(reward) for reward in after[row]],
            "score_before": _number(output.scores_before[row]),
            "score": _number(output.scores[row]),
            "failed": bool(output.failed[row]),
            "reason": _reason(options.everyone, after[row], bool(refined.broken[row])),
        }
        for row, index in enumerate(output.kept)
        if index >= 0
    ]
    return {"refined": rows}


def _reason(names: tuple[str, ...], rewards: np.ndarray, broken: bool) -> str | None:
    """Say why there is no reward: the clip is broken, or verifiers gave up."""
    if broken:
        return "the generator's clip holds NaN or infinity"
    bad = [
        f"{name} gave {reward}"
        for name, reward in zip(names, rewards, strict=True)
        if not math.isfinite(reward)
    ]
    return "; ".join(bad) or None


def _clip(backend: Backend, output: SearchOutput) -> dict[str, Any]:
    frames, height, width, _ = output.best.video.shape
    return {
        "frames": frames,
        "height": height,
        "width": width,
        "fps": float(backend.generator.fps),
        "samples": output.best.audio.shape[-1],
        "sample_rate": int(backend.generator.sample_rate),
    }

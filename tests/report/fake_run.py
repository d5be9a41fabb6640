"""A run folder as the command line leaves it: moving shapes, one failed candidate."""

from pathlib import Path
from typing import Any

import numpy as np

from avits_jax.media import write_clip, write_json
from avits_jax.report import write_previews
from avits_jax.types import Media

FPS, RATE, FRAMES, SIDE = 8.0, 16_000, 16, 32
NAMES = ("mini_tv", "mini_ta", "mini_av")


def fake_media(count: int, num_frames: int = FRAMES) -> Media:
    """Bouncing shapes of several colours with a decaying tone at every bounce."""
    rng = np.random.default_rng(0)
    video = np.empty((count, num_frames, SIDE, SIDE, 3), np.float32)
    audio = np.zeros((count, round(num_frames / FPS * RATE)), np.float32)
    rows, columns = np.mgrid[:SIDE, :SIDE]
    for index in range(count):
        colour = rng.uniform(0.2, 0.95, 3)
        period = rng.uniform(0.45, 0.9)
        for frame in range(num_frames):
            phase = (frame / FPS) % period / period
            y, x = 24 - 60 * phase * (1 - phase), 6 + 20 * frame / num_frames
            inside = (rows - y) ** 2 + (columns - x) ** 2 < 20 + 5 * (index % 4)
            video[index, frame] = np.where(
                inside[..., None], colour, [0.11, 0.12, 0.15]
            )
            video[index, frame, 28:] = 0.36
        for start in np.arange(period, num_frames / FPS, period):
            moments = np.arange(audio.shape[1] - round(start * RATE)) / RATE
            tone = np.sin(2 * np.pi * rng.uniform(300, 2500) * moments)
            audio[index, -len(moments) :] += 0.4 * tone * np.exp(-8 * moments)
    return Media(video, np.clip(audio, -1, 1))


def fake_results(count: int = 16, prompt: str | None = None) -> dict[str, Any]:
    """Results of ``count`` candidates, the last of which failed."""
    rng = np.random.default_rng(1)
    rewards = rng.normal([0.6, 2.0, -0.3], [0.08, 0.7, 0.25], (count, 3)).round(4)
    sigma = np.array([0.082, 0.71, 0.24])
    calibrated = (rewards - rewards.mean(0)) / sigma
    scores = calibrated.mean(1)
    scores[-1] = -np.inf
    order = np.argsort(-scores)
    ranks = np.argsort(order) + 1
    candidates = [
        {
            "index": index,
            "rank": int(ranks[index]),
            "rewards": rewards[index].tolist(),
            "calibrated": calibrated[index].tolist(),
            "score": float(scores[index]),
            "failed": False,
            "reason": None,
        }
        for index in range(count - 1)
    ]
    failed = {
        "index": count - 1,
        "rank": None,
        "rewards": [0.61, None, -0.2],
        "calibrated": [None] * 3,
        "score": None,
        "failed": True,
        "reason": "mini_ta gave NaN",
    }
    return {
        "format": 1,
        "prompt": prompt or "a red circle bounces three times with a bell",
        "model": "mini",
        "created": "2026-03-14T15:09:26+00:00",
        "seed": 7,
        "aggregator": {
            "name": "arw",
            "weights": [1 / 3] * 3,
            "optimizer": "adam",
            "learning_rate": 0.05,
            "num_steps": 5,
        },
        "verifiers": [
            {
                "name": name,
                "weight": 1 / 3,
                "sigma_before": 1.0,
                "sigma_after": float(sigma[column]),
                "guides": True,
            }
            for column, name in enumerate(NAMES)
        ],
        "candidates": [*candidates, failed],
        "best_index": int(order[0]),
        "clip": {
            "frames": FRAMES,
            "height": SIDE,
            "width": SIDE,
            "fps": FPS,
            "samples": 32_000,
            "sample_rate": RATE,
        },
        "cost": {
            "nfe": 768,
            "decodes": 16,
            "verifier_calls": 48,
            "compile_seconds": 21.42,
            "run_seconds": 0.93,
        },
        "settings": {"num_candidates": count, "steps": 24, "guidance_scale": 3.0},
        "versions": {"avits_jax": "0.1.0", "jax": "0.10.2", "python": "3.11.7"},
        "device": "cpu: TFRT_CPU_0",
    }


def fake_run(folder: Path, results: dict[str, Any]) -> Path:
    """Write results, previews and the chosen clip into ``folder``."""
    folder.mkdir(exist_ok=True)
    media = fake_media(len(results["candidates"]))
    best = results["best_index"]
    write_json(folder / "results.json", results)
    write_previews(folder, media, fps=FPS, sample_rate=RATE)
    write_clip(
        folder / "best.mp4",
        media.video[best],
        media.audio[best],
        fps=FPS,
        sample_rate=RATE,
    )
    return folder

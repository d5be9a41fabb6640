"""Train all of mini from nothing and write checkpoints/mini.

Every stage is seeded and resumes from its last checkpoint; run the same command again
after an interruption. Loss curves are written beside the checkpoints.

    python tools/mini/train.py --work .training --out checkpoints/mini
"""

import time
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import stages
import tyro
from data import render_pool, scene_keys
from fit import Plan, fit

from avits_jax.generators.mini import modeling
from avits_jax.verifiers.mini import modeling as judges
from avits_jax.weights.checkpoint import save

VERIFIERS = ("mini_tv", "mini_ta", "mini_av")
POOL_SEED, NUM_CLIPS, NUM_LEVELS = 1, 40_960, 6_144

BUILDS = {
    "video_autoencoder": partial(modeling.VideoAutoencoder, stages.CONFIG),
    "audio_autoencoder": partial(modeling.AudioAutoencoder, stages.CONFIG),
    "mini_tv": partial(judges.TextMatcher, judges.VideoEncoder),
    "mini_ta": partial(judges.TextMatcher, judges.AudioEncoder),
    "transformer": partial(modeling.MiniTransformer, stages.CONFIG),
    "mini_av": judges.Synchrony,
}
PLANS = {
    "video_autoencoder": Plan("video_autoencoder", 3_000, 2e-3, seed=11),
    "audio_autoencoder": Plan("audio_autoencoder", 5_000, 2e-3, seed=12),
    "mini_tv": Plan("mini_tv", 2_000, 1e-3, seed=21),
    "mini_ta": Plan("mini_ta", 2_000, 1e-3, seed=22),
    # Stopped early on purpose: a generator that is always right leaves search nothing.
    "transformer": Plan("transformer", 5_000, 1.5e-3, seed=31, stop=3_000),
    "mini_av": Plan("mini_av", 160, 1e-3, seed=23),
}


@dataclass
class Options:
    """Train mini's networks.

    Attributes:
        work: folder for checkpoints, loss curves and rendered clips.
        out: folder for the finished weights.
        only: stages to run; all of them by default.
    """

    work: Path = Path(".training")
    out: Path = Path("checkpoints/mini")
    only: tuple[str, ...] = tuple(PLANS)


def train_stage(name: str, data, loss, work: Path):
    """Train one network; returns its (graph, averaged weights)."""
    plan = PLANS[name]
    graph, params = stages.create(BUILDS[name], plan.seed)
    started = time.time()
    params = fit(plan, params, partial(loss, graph), data, work)
    seconds = time.time() - started
    print(f"{name}: {plan.stop or plan.steps} steps, {seconds:.0f} s in this run")
    return graph, params


def write(trained: dict, latents: stages.Latents, out: Path) -> None:
    """Write the generator and each verifier as a checkpoint of its own."""
    weights = {name: params for name, (_, params) in trained.items()}
    generator = {name: weights[name] for name in weights if name not in VERIFIERS}
    generator["stats"] = latents.stats
    save(
        out / "generator",
        generator,
        {"model": "mini", "config": asdict(stages.CONFIG)},
        overwrite=True,
    )
    for name in VERIFIERS:
        metadata = {"model": name, "config": {}}
        save(out / name, weights[name], metadata, overwrite=True)


def main() -> None:
    """Run the stages that are asked for, and write the weights once all are there."""
    options = tyro.cli(Options)
    pool = render_pool(POOL_SEED, NUM_CLIPS, NUM_LEVELS, options.work)
    trained: dict = {}
    latents = None
    for name in PLANS:
        if name not in options.only:
            continue
        if name == "transformer":
            coders = (trained["video_autoencoder"], trained["audio_autoencoder"])
            keys = scene_keys(POOL_SEED, NUM_CLIPS)
            latents = stages.encode_pool(*coders, pool, keys)
        data = stages.training_data(name, pool, latents)
        trained[name] = train_stage(name, data, stages.LOSSES[name], options.work)
    if latents is not None and len(trained) == len(PLANS):
        write(trained, latents, options.out)
        print(f"weights written to {options.out}")


if __name__ == "__main__":
    main()

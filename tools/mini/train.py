"""Train all of mini from nothing and write checkpoints/mini.

Every stage is seeded and resumes from its last checkpoint; run the same command again
after an interruption. Loss curves are written beside the checkpoints.

    python tools/mini/train.py --work .training --out checkpoints/mini
"""

import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import stages
import tyro
from data import render_pool, scene_keys
from fit import Plan, fit

from avits_jax.generators.mini import modeling
from avits_jax.verifiers.mini.config import JUDGE, MiniVerifierConfig
from avits_jax.verifiers.mini.parts import GUIDES, JUDGES, network_of
from avits_jax.weights.checkpoint import save
from avits_jax.weights.config import config_values

POOL_SEED, NUM_CLIPS, NUM_LEVELS = 1, 40_960, 6_144
JUDGE_POOL_SEED, NUM_JUDGE_CLIPS = 2, 16_384

SIZES = {
    **dict.fromkeys(GUIDES, MiniVerifierConfig()),
    **dict.fromkeys(JUDGES, JUDGE),
}
BUILDS = {
    "video_autoencoder": partial(modeling.VideoAutoencoder, stages.CONFIG),
    "audio_autoencoder": partial(modeling.AudioAutoencoder, stages.CONFIG),
    "transformer": partial(modeling.MiniTransformer, stages.CONFIG),
    **{name: partial(network_of(name), config) for name, config in SIZES.items()},
}
PLANS = {
    "video_autoencoder": Plan("video_autoencoder", 3_000, 2e-3, seed=11),
    "audio_autoencoder": Plan("audio_autoencoder", 5_000, 2e-3, seed=12),
    "mini_tv": Plan("mini_tv", 2_000, 1e-3, seed=21),
    "mini_ta": Plan("mini_ta", 2_000, 1e-3, seed=22),
    # Stopped early on purpose: a generator that is always right leaves search nothing.
    "transformer": Plan("transformer", 5_000, 1.5e-3, seed=31, stop=3_000),
    # The same network goes on, with captions that are wrong in part.
    "captions": Plan("captions", 1_500, 4e-4, seed=32, save_every=250),
    "mini_av": Plan("mini_av", 160, 1e-3, seed=23),
    "mini_quality": Plan("mini_quality", 1_200, 1e-3, seed=24),
    "mini_tv_judge": Plan("mini_tv_judge", 1_500, 1e-3, seed=41),
    "mini_ta_judge": Plan("mini_ta_judge", 1_200, 1e-3, seed=42),
    "mini_av_judge": Plan("mini_av_judge", 400, 1e-3, seed=43),
    "mini_quality_judge": Plan("mini_quality_judge", 1_000, 1e-3, seed=44),
}
# What a stage goes on from; finished stages are read, not trained again.
_CODERS = ("video_autoencoder", "audio_autoencoder")
NEEDS = {"transformer": _CODERS, "captions": (*_CODERS, "transformer")}


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


def first_weights(name: str, trained: dict):
    """A stage's (graph, weights) to start from."""
    if name == "captions":
        return trained["transformer"]
    return stages.create(BUILDS[name], PLANS[name].seed)


def train_stage(name: str, first, data, work: Path):
    """Train one network; returns its (graph, averaged weights)."""
    graph, params = first
    plan = PLANS[name]
    loss = partial(stages.LOSSES[name.removesuffix("_judge")], graph)
    started = time.time()
    params = fit(plan, params, loss, data, work)
    seconds = time.time() - started
    print(f"{name}: {plan.stop or plan.steps} steps, {seconds:.0f} s in this run")
    return graph, params


def write(trained: dict, latents: stages.Latents, out: Path) -> None:
    """Write the generator and each verifier as a checkpoint of its own.

    Half precision halves the files; it is read as float32.
    """

    def half(tree):
        return jax.tree.map(lambda x: jnp.asarray(x, jnp.float16), tree)

    weights = {name: half(params) for name, (_, params) in trained.items()}
    generator = {
        "video_autoencoder": weights["video_autoencoder"],
        "audio_autoencoder": weights["audio_autoencoder"],
        "transformer": weights["captions"],
        "stats": latents.stats,
    }
    metadata = {"model": "mini", "config": config_values(stages.CONFIG)}
    save(out / "generator", generator, metadata, overwrite=True)
    for name, config in SIZES.items():
        metadata = {"model": name, "config": config_values(config)}
        save(out / name, weights[name], metadata, overwrite=True)


def check_stages(names: tuple[str, ...]) -> None:
    """Refuse stages that there are not, or without those they go on from."""
    for name in names:
        if name not in PLANS:
            raise SystemExit(f"--only takes {', '.join(PLANS)}, got {name!r}")
        missing = [each for each in NEEDS.get(name, ()) if each not in names]
        if missing:
            raise SystemExit(f"--only {name} needs {', '.join(missing)} as well")


def main() -> None:
    """Run the stages that are asked for, and write the weights once all are there."""
    options = tyro.cli(Options)
    check_stages(options.only)
    work = options.work
    pool = render_pool(POOL_SEED, NUM_CLIPS, NUM_LEVELS, work)
    others = render_pool(JUDGE_POOL_SEED, NUM_JUDGE_CLIPS, 0, work)
    trained: dict = {}
    latents = None
    for name in PLANS:
        if name not in options.only:
            continue
        if name == "transformer":
            coders = (trained["video_autoencoder"], trained["audio_autoencoder"])
            keys = scene_keys(POOL_SEED, NUM_CLIPS)
            latents = stages.encode_pool(*coders, pool, keys)
        clips = others if name in JUDGES else pool
        data = stages.training_data(name, clips, latents)
        first = first_weights(name, trained)
        trained[name] = train_stage(name, first, data, work)
    if latents is not None and len(trained) == len(PLANS):
        write(trained, latents, options.out)
        print(f"weights written to {options.out}")


if __name__ == "__main__":
    main()

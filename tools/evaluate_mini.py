"""How often mini is entirely right: one sample, best-of-N by each verifier, and by all.

Every prompt's candidates are generated once by `best_of_n` with ARW over the three
verifiers; other selections are made from the same rewards. Truth is measured from
pixels and samples by the analysers, which no selection sees.

    python tools/evaluate_mini.py --num-prompts 240
"""

import itertools
import json
import platform
import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import tyro
from rich.console import Console
from rich.progress import track
from rich.table import Table

import avits_jax as avits
from avits_jax.mini_world import grammar, truth, world

VERIFIERS = ("mini_tv", "mini_ta", "mini_av")


@dataclass
class Options:
    """Measure mini's success rates.

    Attributes:
        num_prompts: random prompts, the attributes spread evenly.
        num_candidates: N of best-of-N.
        seed: of prompts and of noise.
        steps: denoising steps; the model's own by default.
        guidance_scale: the model's own by default.
        out: write the table as JSON, too.
    """

    num_prompts: int = 240
    num_candidates: int = 16
    seed: int = 2024
    steps: int | None = None
    guidance_scale: float | None = None
    out: Path | None = None


def make_prompts(num: int, seed: int) -> list[tuple[str, grammar.Attributes]]:
    """Paraphrases of attributes drawn without repetition, in rounds over all 240."""
    rng = np.random.default_rng(seed)
    every = list(
        itertools.product(
            range(len(world.COLORS)),
            range(len(world.SHAPES)),
            world.COUNTS,
            range(len(world.SOUNDS)),
        )
    )
    rounds = [
        every[i]
        for _ in range(-(-num // len(every)))
        for i in rng.permutation(len(every))
    ]
    asked = [grammar.Attributes(*values) for values in rounds[:num]]
    return [(grammar.paraphrase(attributes, rng), attributes) for attributes in asked]


def generate(options: Options, prompts):
    """Rewards ``[P, N, V]``, verdicts ``[P, N, 5]`` and ARW's choices ``[P]``."""
    generator, params = avits.generators.load(
        "mini", num_steps=options.steps, guidance_scale=options.guidance_scale
    )
    verifiers, vparams = avits.verifiers.load(VERIFIERS)
    search = jax.jit(
        partial(
            avits.best_of_n,
            generator=generator,
            verifiers=verifiers,
            aggregator=avits.arw([1.0] * 3, optimizer="closed_form"),
            num_candidates=options.num_candidates,
            keep_media=True,
        )
    )
    weights = avits.Params(params, vparams)
    state = avits.arw([1.0] * 3, optimizer="closed_form").init(3)
    rewards, verdicts, chosen = [], [], []
    key = jax.random.key(options.seed)
    for i, (prompt, asked) in enumerate(track(prompts, description="generating")):
        cond = avits.encode_prompt(prompt, generator, verifiers)
        output = search(weights, jax.random.fold_in(key, i), cond, state)
        state = output.aggregator_state
        rewards.append(np.asarray(output.rewards))
        chosen.append(int(output.best_index))
        clips = zip(*map(np.asarray, output.media), strict=True)
        verdicts.append([truth.judge(truth.measure(*clip), asked) for clip in clips])
    return np.array(rewards), np.array(verdicts, bool), np.array(chosen)


def choose(rewards, aggregator, columns) -> np.ndarray:
    """Winner of each prompt under an aggregator that learns from prompt to prompt."""

    def step(state, batch):
        scores, state = aggregator.update(batch, state)
        return state, jnp.argmax(scores)

    picked = jnp.asarray(rewards[..., list(columns)])
    init = aggregator.init(len(columns))
    return np.asarray(jax.jit(partial(jax.lax.scan, step))(init, picked)[1])


def interval(values: np.ndarray) -> tuple[float, float, float]:
    """Mean and 95% bootstrap interval over prompts."""
    rng = np.random.default_rng(0)
    draws = rng.integers(len(values), size=(4000, len(values)))
    low, high = np.percentile(values[draws].mean(1), [2.5, 97.5])
    return float(values.mean()), float(low), float(high)


def selections(rewards, chosen):
    """Name and winners (or None for the average candidate) of every row."""
    yield "one sample", None
    short = [name.removeprefix("mini_") for name in VERIFIERS]
    for size in (1, 2):
        for columns in itertools.combinations(range(3), size):
            name = " + ".join(short[c] for c in columns)
            if size == 1:
                aggregator = avits.weighted([1.0])
            else:
                aggregator = avits.arw([1.0] * size, optimizer="closed_form")
                name = f"ARW {name}"
            yield name, choose(rewards, aggregator, columns)
    every = (0, 1, 2)
    yield "plain sum, all three", choose(rewards, avits.weighted([1.0] * 3), every)
    yield "rank, all three", choose(rewards, avits.rank([1.0] * 3), every)
    yield (
        "z-score, all three",
        choose(rewards, avits.zscore_candidate([1.0] * 3), every),
    )
    adam = avits.arw([1.0] * 3)
    yield "ARW (Adam), all three", choose(rewards, adam, every)
    yield "ARW, all three", chosen


def main() -> None:
    """Generate, measure, print."""
    options = tyro.cli(Options)
    started = time.time()
    prompts = make_prompts(options.num_prompts, options.seed)
    rewards, verdicts, chosen = generate(options, prompts)
    table = Table(title=f"best-of-{options.num_candidates}, {len(prompts)} prompts")
    for heading in ("selection", "entirely right", "95%", *truth.Verdict._fields):
        table.add_column(heading)
    rows = []
    for name, winners in selections(rewards, chosen):
        if winners is None:
            parts, right = verdicts.mean((0, 1)), verdicts.all(2).mean(1)
        else:
            picked = verdicts[np.arange(len(winners)), winners]
            parts, right = picked.mean(0), picked.all(1).astype(float)
        mean, low, high = interval(right)
        rows.append(
            {
                "selection": name,
                "right": mean,
                "low": low,
                "high": high,
                **dict(zip(truth.Verdict._fields, map(float, parts), strict=True)),
            }
        )
        table.add_row(
            name,
            f"{mean:.1%}",
            f"{low:.1%} to {high:.1%}",
            *(f"{part:.1%}" for part in parts),
        )
    any_right = verdicts.all(2).any(1).mean()
    console = Console(width=150)
    console.print(table)
    console.print(f"some candidate is entirely right: {any_right:.1%} of prompts")
    console.print(
        f"{platform.processor() or platform.machine()}, {jax.devices()[0]}, "
        f"jax {jax.__version__}, {time.time() - started:.0f} s"
    )
    if options.out:
        options.out.write_text(json.dumps(rows, indent=1))


if __name__ == "__main__":
    main()

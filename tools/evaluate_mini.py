"""The paper's claims on mini: one verifier is not enough, several under ARW are.

Every prompt's candidates are generated once, and scored by all of mini's verifiers and
judges; every selection, from the first 1, 2, 4, ... of them, is made from these
rewards. Truth is measured from pixels and samples by the analysers, which no selection
sees. Writes a table of selections, the verifiers' usual rewards, the claims with a
verdict each, a figure of success against the number of candidates, and the raw numbers.

    python tools/evaluate_mini.py --seed 4711 --out evidence
"""

import itertools
import platform
import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import jax
import numpy as np
import tyro
from mini_claims import claims
from mini_figures import plot
from mini_selections import GUIDES, Evidence, selections
from rich.box import MARKDOWN
from rich.console import Console
from rich.progress import track
from rich.table import Table

import avits_jax as avits
from avits_jax.mini_world import grammar, truth, world
from avits_jax.study import interval

VERIFIERS = ("mini_tv", "mini_ta", "mini_av")
_BATCH = 16


@dataclass
class Options:
    """Measure mini's success rates and judge the paper's claims by them.

    Attributes:
        num_prompts: random prompts, the attributes spread evenly.
        num_candidates: most candidates of a prompt, a power of 2.
        seed: of prompts and of noise.
        steps: denoising steps; the model's own by default.
        guidance_scale: the model's own by default.
        out: folder for tables, figure and raw numbers, which are read again if there.
    """

    num_prompts: int = 240
    num_candidates: int = 64
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


def generate(options: Options) -> Evidence:
    """Rewards of all verifiers and judges, and verdicts, of every candidate."""
    generator, params = avits.generators.load(
        "mini", num_steps=options.steps, guidance_scale=options.guidance_scale
    )
    names = (*GUIDES, *(f"{name}_judge" for name in GUIDES))
    verifiers, vparams = avits.verifiers.load(names)
    aggregator = avits.weighted([1.0] * len(names))
    search = jax.jit(
        partial(
            avits.best_of_n,
            generator=generator,
            verifiers=verifiers,
            aggregator=aggregator,
            num_candidates=options.num_candidates,
            candidate_batch=_BATCH,
            keep_media=True,
        )
    )
    weights, key = avits.Params(params, vparams), jax.random.key(options.seed)
    rewards, verdicts = [], []
    prompts = make_prompts(options.num_prompts, options.seed)
    for i, (prompt, asked) in enumerate(track(prompts, description="generating")):
        cond = avits.encode_prompt(prompt, generator, verifiers)
        output = search(weights, jax.random.fold_in(key, i), cond, None)
        rewards.append(np.asarray(output.rewards))
        clips = zip(*map(np.asarray, output.media), strict=True)
        verdicts.append([truth.judge(truth.measure(*clip), asked) for clip in clips])
    return Evidence(names, np.array(rewards), np.array(verdicts, bool))


def show(evidence: Evidence, num: int, console: Console) -> None:
    """Print the rates of every selection from the first ``num`` candidates."""
    title = f"best of {num}, {len(evidence.rewards)} prompts"
    table = Table(title=title, box=MARKDOWN)
    for heading in ("selection", "entirely right", "95%", *truth.Verdict._fields):
        table.add_column(heading)
    for name, winners in selections(evidence, num).items():
        parts = evidence.verdicts_of(winners)
        mean, low, high = interval(evidence.right(winners))
        table.add_row(
            name,
            f"{mean:.1%}",
            f"{low:.1%} to {high:.1%}",
            *(f"{part:.1%}" for part in parts.mean(0)),
        )
    console.print(table)
    some = evidence.verdicts[:, :num].all(2).any(1).mean()
    console.print(f"some candidate is entirely right: {some:.1%} of prompts")


def show_yardsticks(evidence: Evidence, console: Console) -> None:
    """Print what the catalogue says of rewards: of all samples, and of right ones."""
    right = evidence.verdicts.all(2)
    table = Table(
        title=f"rewards of {right.size} samples, {right.sum()} entirely right",
        box=MARKDOWN,
    )
    for heading in ("verifier", "mean", "deviation", "three of four right ones have"):
        table.add_column(heading)
    for column, name in enumerate(evidence.names):
        rewards = evidence.rewards[..., column]
        low = np.percentile(rewards[right], 25) if right.any() else np.nan
        table.add_row(
            name, f"{rewards.mean():.3g}", f"{rewards.std():.3g}", f"{low:.3g}"
        )
    console.print(table)


def judge_claims(evidence: Evidence, console: Console) -> None:
    """Print every claim with its verdict and the figures it rests on."""
    table = Table("claim", "holds", "figures", box=MARKDOWN)
    for claim in claims(evidence):
        table.add_row(claim.text, "yes" if claim.holds else "no", claim.figures)
    console.print(table)


def main() -> None:
    """Generate, measure, print, write."""
    options = tyro.cli(Options)
    started = time.time()
    raw = options.out / f"mini-{options.seed}.npz" if options.out else None
    if raw and raw.exists():
        evidence = Evidence.read(raw)
    else:
        evidence = generate(options)
    if raw:
        raw.parent.mkdir(parents=True, exist_ok=True)
        evidence.write(raw)
        plot(evidence, raw.with_suffix(".png"))
    console = Console(width=200)
    most = evidence.rewards.shape[1]
    for num in sorted({min(16, most), most}):
        show(evidence, num, console)
    show_yardsticks(evidence, console)
    judge_claims(evidence, console)
    console.print(
        f"seed {options.seed}, {platform.processor() or platform.machine()}, "
        f"{jax.devices()[0]}, jax {jax.__version__}, {time.time() - started:.0f} s"
    )


if __name__ == "__main__":
    main()

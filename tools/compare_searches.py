"""Rate of entirely right mini clips for every search, at stated network evaluations.

All searches see the same prompts, verifiers and aggregator (ARW, learning from prompt
to prompt); truth is measured by the analysers, which no search sees.

    python tools/compare_searches.py --num-prompts 240
"""

import json
import platform
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import jax
import numpy as np
import tyro
from evaluate_mini import VERIFIERS, interval, make_prompts
from rich.console import Console
from rich.progress import track
from rich.table import Table

import avits_jax as avits
from avits_jax.mini_world import truth

# Name and keyword arguments of every search; 24 steps, two evaluations each.
SEARCHES: tuple[tuple[str, Callable, dict], ...] = (
    ("one sample", avits.best_of_n, {"num_candidates": 1}),
    ("best-of-5", avits.best_of_n, {"num_candidates": 5}),
    ("best-of-16", avits.best_of_n, {"num_candidates": 16}),
    (
        "pruned 12 > 3 at step 6",
        avits.pruned_best_of_n,
        {"num_candidates": 12, "rungs": ((6, 3),)},
    ),
    (
        "pruned 10 > 4 > 2 at steps 6, 12",
        avits.pruned_best_of_n,
        {"num_candidates": 10, "rungs": ((6, 4), (12, 2))},
    ),
    (
        "pruned 32 > 8 at step 8",
        avits.pruned_best_of_n,
        {"num_candidates": 32, "rungs": ((8, 8),)},
    ),
    (
        "evosearch, 7/7/7 at 0, 8",
        avits.evosearch,
        {"schedule": (0, 8), "population_sizes": (7, 7, 7)},
    ),
    (
        "evosearch, reference mutation",
        avits.evosearch,
        {
            "schedule": (0, 8),
            "population_sizes": (7, 7, 7),
            "options": avits.EvoOptions(mutation=avits.reference_mutation()),
        },
    ),
    (
        "smc, 16 particles",
        avits.smc,
        {
            "num_candidates": 16,
            "resample_steps": (6, 10, 14),
            "options": avits.SMCOptions(strength=4.0),
        },
    ),
    (
        "beam search, 4 x 4",
        avits.beam_search,
        {
            "num_beams": 4,
            "num_children": 4,
            "options": avits.BeamOptions(branch_steps=(4, 8), lookahead=2),
        },
    ),
    ("zero-order, 3 x 4", avits.zero_order, {"num_candidates": 4, "num_iterations": 3}),
)


@dataclass
class Options:
    """Compare the searches on mini.

    Attributes:
        num_prompts: random prompts, the attributes spread evenly.
        seed: of prompts and of noise.
        only: parts of names; searches whose name holds one are run. All by default.
        out: write the table as JSON, too.
    """

    num_prompts: int = 240
    seed: int = 77
    only: tuple[str, ...] = ()
    out: Path | None = None


def run(name, search, settings, prompts, seed) -> dict:
    """Search for every prompt; returns the row of the table."""
    generator, params = avits.generators.load("mini")
    verifiers, vparams = avits.verifiers.load(VERIFIERS)
    aggregator = avits.arw([1.0] * len(verifiers), optimizer="closed_form")
    parts = {"generator": generator, "verifiers": verifiers, "aggregator": aggregator}
    compiled = jax.jit(partial(search, **parts, **settings))
    state = aggregator.init(len(verifiers))
    weights, key = avits.Params(params, vparams), jax.random.key(seed)
    verdicts, started = [], time.time()
    for i, (prompt, asked) in enumerate(track(prompts, description=name)):
        cond = avits.encode_prompt(prompt, generator, verifiers)
        output = compiled(weights, jax.random.fold_in(key, i), cond, state)
        state = output.aggregator_state
        clip = jax.tree.map(np.asarray, output.best)
        verdicts.append(truth.judge(truth.measure(*clip), asked))
    right, low, high = interval(np.array([v.right for v in verdicts], float))
    return {
        "search": name,
        "nfe": int(output.nfe),
        "decodes": int(output.decodes),
        "verifier_calls": int(output.verifier_calls),
        "right": right,
        "low": low,
        "high": high,
        "seconds": (time.time() - started) / len(prompts),
    }


def main() -> None:
    """Run, print, write."""
    options = tyro.cli(Options)
    prompts = make_prompts(options.num_prompts, options.seed)
    rows = [
        run(*search, prompts, options.seed)
        for search in SEARCHES
        if not options.only or any(part in search[0] for part in options.only)
    ]
    headings = ("search", "evaluations", "decodes", "calls", "right", "95%", "s/prompt")
    table = Table(*headings, title=f"{len(prompts)} prompts")
    for row in rows:
        table.add_row(
            row["search"],
            *(str(row[name]) for name in ("nfe", "decodes", "verifier_calls")),
            f"{row['right']:.1%}",
            f"{row['low']:.1%} to {row['high']:.1%}",
            f"{row['seconds']:.2f}",
        )
    console = Console(width=120)
    console.print(table)
    console.print(f"{platform.machine()}, {jax.devices()[0]}, jax {jax.__version__}")
    if options.out:
        options.out.write_text(json.dumps(rows, indent=1))


if __name__ == "__main__":
    main()

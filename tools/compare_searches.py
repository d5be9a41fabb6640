"""What every search gains on mini, at stated evaluations, operations and seconds.

All searches see the same prompts, noise, verifiers and aggregator (ARW, learning from
prompt to prompt); truth is measured by the analysers, which no search sees. A clip's
z-score is the mean over the verifiers of its rewards, in deviations of all candidates
of best-of-16. The gain of a search is its winner's z-score over the mean of the
prompt's 16 candidates; "kept" is its mean gain over that of best-of-16, with a 95%
bootstrap interval over prompts (both resampled together). Seconds are the median over
the prompts after the first, decoding and verifiers included, compilation not.

A second table says how drafts judge: Spearman's correlation of the z-scores of a
prompt's 16 drafts and of its 16 finished clips, and how often both have one winner.

    python tools/compare_searches.py --num-prompts 240
"""

import json
import platform
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
import tyro
from evaluate_mini import VERIFIERS, make_prompts
from rich.console import Console
from rich.progress import track
from rich.table import Table
from scipy.stats import spearmanr

import avits_jax as avits
from avits_jax.mini_world import truth
from avits_jax.study import interval

# Of `sampling.usual_drafts`, in their order.
DRAFTS = ("half the steps", "no guidance", "both", "guidance reused")
NUM_CANDIDATES = 16
COSTS = ("nfe", "decodes", "verifier_calls", "flops")
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
    *(
        (
            f"draft 16 > 4, {name}",
            avits.draft_best_of_n,
            {"num_candidates": 16, "num_kept": 4, "draft": number},
        )
        for number, name in enumerate(DRAFTS)
    ),
    (
        "draft 16 > 2, both",
        avits.draft_best_of_n,
        {"num_candidates": 16, "num_kept": 2, "draft": 2},
    ),
    *(
        (
            f"adaptive, at most 16, tolerance {tolerance}",
            avits.adaptive_best_of_n,
            {"num_candidates": 16, "chunk": 4, "tolerance": tolerance},
        )
        for tolerance in (0.1, 0.2, 0.4)
    ),
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


class Problem(NamedTuple):
    """Mini with its verifiers, and the prompts to search for."""

    generator: avits.Generator
    verifiers: tuple[avits.Verifier, ...]
    weights: avits.Params
    prompts: list
    seed: int


def load(options: Options) -> Problem:
    """Load mini, and draw prompts."""
    generator, params = avits.generators.load("mini")
    verifiers, vparams = avits.verifiers.load(VERIFIERS)
    weights = avits.Params(params, vparams)
    prompts = make_prompts(options.num_prompts, options.seed)
    return Problem(generator, verifiers, weights, prompts, options.seed)


def outputs(problem: Problem, name: str, search, settings) -> Iterator[tuple]:
    """Search for every prompt; yield the output on the host, and the seconds."""
    generator, verifiers, weights, prompts, seed = problem
    aggregator = avits.arw([1.0] * len(verifiers), optimizer="closed_form")
    parts = {"generator": generator, "verifiers": verifiers, "aggregator": aggregator}
    compiled = jax.jit(partial(search, **parts, **settings))
    state, key = aggregator.init(len(verifiers)), jax.random.key(seed)
    for i, (prompt, _) in enumerate(track(prompts, description=name)):
        cond = avits.encode_prompt(prompt, generator, verifiers)
        arguments = weights, jax.random.fold_in(key, i), cond, state
        started = time.perf_counter()
        output = jax.block_until_ready(compiled(*arguments))
        yield jax.device_get(output), time.perf_counter() - started
        state = output.aggregator_state


class Found(NamedTuple):
    """What a search found for all prompts.

    Attributes:
        rewards: ``[P, V]`` of the winners.
        right: ``[P]`` whether the winner is entirely right.
        costs: ``[P, 4]`` evaluations, decodes, verifier calls, operations.
        seconds: ``[P]``; the first include compilation.
        candidates: ``[P, N, V]`` rewards of all candidates.
    """

    rewards: np.ndarray
    right: np.ndarray
    costs: np.ndarray
    seconds: np.ndarray
    candidates: np.ndarray


def run(problem: Problem, name: str, search, settings) -> Found:
    """Search for every prompt."""
    if isinstance(settings.get("draft"), int):
        draft = problem.generator.drafts[settings["draft"]]
        settings = settings | {"draft": draft}
    rows = []
    found = outputs(problem, name, search, settings)
    for (_, asked), (output, seconds) in zip(problem.prompts, found, strict=True):
        right = truth.judge(truth.measure(*output.best), asked).right
        cost = output.nfe, output.decodes, output.verifier_calls, output.flops
        winner = output.rewards[output.best_index]
        rows.append((winner, right, cost, seconds, output.rewards))
    return Found(*(np.asarray(column, float) for column in zip(*rows, strict=True)))


class Scale(NamedTuple):
    """Z-scores, from all candidates of best-of-16.

    Attributes:
        rewards: ``[P, 16, V]`` of best-of-16.
        gains: ``[P]`` of best-of-16.
    """

    rewards: np.ndarray
    gains: np.ndarray

    def scores(self, rewards: np.ndarray) -> np.ndarray:
        """Return z-scores ``[...]`` of rewards ``[..., V]``."""
        flat = self.rewards.reshape(-1, self.rewards.shape[-1])
        return ((rewards - flat.mean(0)) / flat.std(0)).mean(-1)

    def gain(self, winners: np.ndarray) -> np.ndarray:
        """Return ``[P]`` of winners ``[P, V]``: what they are above one sample."""
        return self.scores(winners) - self.scores(self.rewards).mean(1)


def reference(best: Found) -> Scale:
    """Return the scale that best-of-16 gives."""
    scale = Scale(best.candidates, np.zeros(len(best.rewards)))
    return scale._replace(gains=scale.gain(best.rewards))


def kept(gains: np.ndarray, of: np.ndarray) -> tuple[float, float, float]:
    """Return the ratio of mean gains, and its 95% interval, prompts kept in pairs."""
    draws = np.random.default_rng(0).integers(len(of), size=(4000, len(of)))
    ratios = gains[draws].mean(1) / of[draws].mean(1)
    return gains.mean() / of.mean(), *np.percentile(ratios, [2.5, 97.5])


def row_of(name: str, found: Found, scale: Scale) -> dict[str, Any]:
    """Return the row of the table."""
    right, low, high = interval(found.right)
    share, least, most = kept(scale.gain(found.rewards), scale.gains)
    costs = dict(zip(COSTS, found.costs.mean(0).tolist(), strict=True))
    return {
        "search": name,
        **costs,
        "right": right,
        "low": low,
        "high": high,
        "gain_kept": share,
        "gain_kept_low": least,
        "gain_kept_high": most,
        "seconds": float(np.median(found.seconds[1:])),
        "first_seconds": float(found.seconds[0]),
    }


def fidelity(problem: Problem, number: int, scale: Scale) -> dict[str, Any]:
    """Return how one draft's z-scores agree with those of the finished clips."""
    draft = problem.generator.drafts[number]
    name, settings = f"judging by {DRAFTS[number]}", {"num_candidates": NUM_CANDIDATES}
    found = run(problem._replace(generator=draft), name, avits.best_of_n, settings)
    drafted, full = scale.scores(found.candidates), scale.scores(scale.rewards)
    each = [spearmanr(*pair).statistic for pair in zip(drafted, full, strict=True)]
    same = drafted.argmax(1) == full.argmax(1)
    return {
        "draft": DRAFTS[number],
        "evaluations_of_one": draft.evaluations(),
        "spearman": float(np.mean(each)),
        "same_winner": float(same.mean()),
    }


def show(console: Console, rows: list[dict], drafts: list[dict], num: int) -> None:
    """Print both tables."""
    headings = "search,evaluations,decodes,calls,GFLOP,right,95%,gain kept,95%,s/prompt"
    table = Table(*headings.split(","), title=f"{num} prompts")
    for row in rows:
        table.add_row(
            row["search"],
            *(f"{row[name]:.4g}" for name in COSTS[:3]),
            f"{row['flops'] / 1e9:.4g}",
            f"{row['right']:.1%}",
            f"{row['low']:.1%} to {row['high']:.1%}",
            f"{row['gain_kept']:.1%}",
            f"{row['gain_kept_low']:.1%} to {row['gain_kept_high']:.1%}",
            f"{row['seconds']:.2f}",
        )
    console.print(table)
    table = Table("draft", "evaluations of one", "Spearman", "same winner")
    for row in drafts:
        table.add_row(
            row["draft"],
            str(row["evaluations_of_one"]),
            f"{row['spearman']:.3f}",
            f"{row['same_winner']:.1%}",
        )
    console.print(table)
    console.print(f"{platform.machine()}, {jax.devices()[0]}, jax {jax.__version__}")


def main() -> None:
    """Run, print, write."""
    options = tyro.cli(Options)
    if options.num_prompts < 2:
        raise SystemExit("--num-prompts must be at least 2: the first is not timed")
    problem = load(options)
    sixteen = {"num_candidates": NUM_CANDIDATES}
    best = run(problem, "best-of-16", avits.best_of_n, sixteen)
    scale = reference(best)

    def wanted(name: str) -> bool:
        return not options.only or any(part in name for part in options.only)

    rows = [
        row_of(name, run(problem, name, search, settings), scale)
        if settings != sixteen
        else row_of(name, best, scale)
        for name, search, settings in SEARCHES
        if wanted(name)
    ]
    drafts = [
        fidelity(problem, number, scale)
        for number, name in enumerate(DRAFTS)
        if wanted(f"draft 16 > 4, {name}")
    ]
    show(Console(width=140), rows, drafts, options.num_prompts)
    if options.out:
        tables = {"searches": rows, "drafts": drafts}
        options.out.write_text(json.dumps(tables, indent=1))


if __name__ == "__main__":
    main()

"""What every search gains on mini, at stated evaluations, operations and seconds.

All searches see the same prompts, noise, verifiers and aggregator (ARW, learning from
prompt to prompt); truth is measured by the analysers, which no search sees. A clip's
z-score is the mean over the verifiers of its rewards, in deviations of all candidates
of best-of-16. The gain of a search is its winner's z-score over the mean of the
prompt's 16 candidates; "kept" is its mean gain over that of best-of-16, with a 95%
bootstrap interval over prompts (both resampled together). Searches take turns prompt by
prompt, so that all see the same machine; seconds, and their share of best-of-16's for
the same prompt, are medians over the prompts after the first, decoding and verifiers
included, compilation not.

A second table says how drafts judge: Spearman's correlation of the z-scores of a
prompt's 16 drafts and of its 16 finished clips, and how often both have one winner.

Ctrl-C ends it early, with tables of the prompts done.

    python tools/compare_searches.py --num-prompts 240
"""

import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import NamedTuple

import jax
import numpy as np
import tyro
from compare_tables import Found, fidelity, row_of, show
from evaluate_mini import VERIFIERS, make_prompts
from rich.console import Console
from rich.progress import track

import avits_jax as avits
from avits_jax.mini_world import truth
from avits_jax.sampling.drafts import fewer_steps

# Of mini. The first of them are the drafts that it offers, in their order.
DRAFTS: dict[str, Callable[[avits.Generator], avits.Generator]] = {
    "half the steps": lambda mini: mini.drafts[0],
    "no guidance": lambda mini: mini.drafts[1],
    "both": lambda mini: mini.drafts[2],
    "guidance reused": lambda mini: mini.drafts[3],
    "blocks reused": lambda mini: mini.drafts[4],
    "a third of the steps, no guidance": lambda mini: fewer_steps(mini.drafts[1], 3),
    "a quarter of the steps, no guidance": lambda mini: fewer_steps(mini.drafts[1], 4),
}
NUM_CANDIDATES = 16
SIXTEEN, SIXTY_FOUR = "best-of-16", "best-of-64"
# Name and keyword arguments of every search; 24 steps, two evaluations each.
SEARCHES: tuple[tuple[str, Callable, dict], ...] = (
    ("one sample", avits.best_of_n, {"num_candidates": 1}),
    ("best-of-5", avits.best_of_n, {"num_candidates": 5}),
    (SIXTEEN, avits.best_of_n, {"num_candidates": NUM_CANDIDATES}),
    (SIXTY_FOUR, avits.best_of_n, {"num_candidates": 64, "candidate_batch": 16}),
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
    *(
        (
            f"evosearch, 7/7/7 at 0, 8, {name}",
            avits.evosearch,
            {
                "schedule": (0, 8),
                "population_sizes": (7, 7, 7),
                "options": avits.EvoOptions(mutation=mutation),
            },
        )
        for name, mutation in (
            ("mutation 0.8", avits.level_mutation(0.8)),
            ("mutation 0.5", avits.level_mutation(0.5)),
            ("mutation 0.2", avits.level_mutation(0.2)),
            ("the original's mutation", avits.reference_mutation()),
        )
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
    *(
        (
            f"zero-order, {num} x {rounds}, rate {rate}",
            avits.zero_order,
            {
                "num_candidates": num,
                "num_iterations": rounds,
                "options": avits.ZeroOrderOptions(rate=rate),
            },
        )
        for num, rounds, rate in ((8, 2, 0.3), (8, 2, 0.5), (4, 4, 0.3), (4, 4, 0.7))
    ),
    *(
        (
            f"draft 16 > {kept}, {name}",
            avits.draft_best_of_n,
            {"num_candidates": 16, "num_kept": kept, "draft": draft},
        )
        for name, draft in DRAFTS.items()
        for kept in (4, 2)
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
        num_fidelity: of them, how many the second table looks at; 0 for none of it.
        seed: of prompts and of noise.
        only: parts of names; searches whose name holds one are run. All by default.
        out: write the tables as JSON, too.
    """

    num_prompts: int = 240
    num_fidelity: int = 80
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


@dataclass
class Contestant:
    """A search, what its aggregator has learned, and what it found so far."""

    problem: Problem
    compiled: Callable
    state: avits.types.PyTree
    rows: list[tuple] = field(default_factory=list)

    @classmethod
    def enter(cls, problem: Problem, search: Callable, settings: dict) -> "Contestant":
        """Make one of a search and its keyword arguments."""
        if "draft" in settings:
            settings = settings | {"draft": settings["draft"](problem.generator)}
        verifiers = problem.verifiers
        arw = avits.arw([1.0] * len(verifiers), optimizer="closed_form")
        parts = {"generator": problem.generator, "verifiers": verifiers}
        compiled = jax.jit(partial(search, **parts, aggregator=arw, **settings))
        return cls(problem, compiled, arw.init(len(verifiers)))

    def meet(self, number: int) -> None:
        """Search for one prompt."""
        prompt, asked = self.problem.prompts[number]
        cond = avits.encode_prompt(
            prompt, self.problem.generator, self.problem.verifiers
        )
        key = jax.random.fold_in(jax.random.key(self.problem.seed), number)
        arguments = self.problem.weights, key, cond, self.state
        started = time.perf_counter()
        output = jax.block_until_ready(self.compiled(*arguments))
        seconds = time.perf_counter() - started
        output = jax.device_get(output)
        self.state = output.aggregator_state
        right = truth.judge(truth.measure(*output.best), asked).right
        cost = output.nfe, output.decodes, output.verifier_calls, output.flops
        winner = output.rewards[output.best_index]
        self.rows.append((winner, right, cost, seconds, output.rewards))

    def found(self, num: int) -> Found:
        """Return what was found for the first prompts."""
        columns = zip(*self.rows[:num], strict=True)
        return Found(*(np.asarray(column, float) for column in columns))


def contest(
    options: Options, contestants: dict[str, Contestant], judges: dict[str, Contestant]
) -> int:
    """Let all search for every prompt in turn; return how many prompts were done."""
    done = 0
    try:
        for number in track(range(options.num_prompts), "prompts"):
            for contestant in contestants.values():
                contestant.meet(number)
            if number < options.num_fidelity:
                for judge in judges.values():
                    judge.meet(number)
            done = number + 1
    except KeyboardInterrupt:
        if done < 2:
            raise
    return done


def main() -> None:
    """Run, print, write."""
    options = tyro.cli(Options)
    if options.num_prompts < 2:
        raise SystemExit("--num-prompts must be at least 2: the first is not timed")
    problem = load(options)

    def wanted(name: str) -> bool:
        return not options.only or any(part in name for part in options.only)

    contestants = {
        name: Contestant.enter(problem, search, settings)
        for name, search, settings in SEARCHES
        if wanted(name) or name == SIXTEEN
    }
    drafts = {
        name: draft(problem.generator)
        for name, draft in DRAFTS.items()
        if options.num_fidelity
        and any(f", {name}" in entered for entered in contestants)
    }
    sixteen = {"num_candidates": NUM_CANDIDATES}
    judges = {
        name: Contestant.enter(
            problem._replace(generator=draft), avits.best_of_n, sixteen
        )
        for name, draft in drafts.items()
    }
    done = contest(options, contestants, judges)
    found = {name: one.found(done) for name, one in contestants.items()}
    rows = [
        row_of(name, each, found[SIXTEEN], found.get(SIXTY_FOUR))
        for name, each in found.items()
    ]
    judged = [
        fidelity(name, drafts[name].evaluations(), one.found(done), found[SIXTEEN])
        for name, one in judges.items()
    ]
    show(Console(width=170), rows, judged, done)
    if options.out:
        tables = {"prompts": done, "searches": rows, "drafts": judged}
        options.out.write_text(json.dumps(tables, indent=1))


if __name__ == "__main__":
    main()

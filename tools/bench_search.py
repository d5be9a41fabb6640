"""Speed of mini's searches, as ratios measured in one run.

Prints five tables: (a) the whole search as one program against its parts run one by
one, (b) candidates and chunk sizes, (c) the ARW update against the length of the
history, (d) EvoSearch with and without repeating its elites, (e) compile times.

    python tools/bench_search.py
"""

import platform
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import tyro
from evaluate_mini import VERIFIERS
from rich.console import Console
from rich.table import Table

import avits_jax as avits
from avits_jax.sampling import denoise
from avits_jax.search import candidate_keys

PROMPT = "a red circle bounces three times with a bell"


@dataclass
class Options:
    """Measure speed.

    Attributes:
        parts: which tables, of the letters a to e.
        repeats: timed runs of each; the median is shown.
        max_candidates: largest N of table (b).
    """

    parts: str = "abcde"
    repeats: int = 5
    max_candidates: int = 64


@dataclass
class Setup:
    """What every table runs on."""

    generator: avits.Generator
    verifiers: tuple[avits.Verifier, ...]
    weights: avits.Params
    cond: avits.Cond
    aggregator: avits.Aggregator
    state: Any
    console: Console

    def parts(self) -> dict[str, Any]:
        """The keyword arguments that all searches share."""
        names = ("generator", "verifiers", "aggregator")
        return {name: getattr(self, name) for name in names}

    def compiled(self, search: Callable, **settings) -> tuple[Callable, float]:
        """A search as a compiled program of the key, and seconds to compile it."""
        call = jax.jit(partial(search, **self.parts(), **settings))
        started = time.perf_counter()
        args = (self.weights, jax.random.key(0), self.cond, self.state)
        program = call.lower(*args).compile()
        seconds = time.perf_counter() - started
        return lambda key: program(self.weights, key, self.cond, self.state), seconds


def median_seconds(function: Callable, repeats: int) -> float:
    """Median time of ``function(key)`` until its result is ready."""
    jax.block_until_ready(function(jax.random.key(0)))
    times = []
    for i in range(repeats):
        started = time.perf_counter()
        jax.block_until_ready(function(jax.random.key(i + 1)))
        times.append(time.perf_counter() - started)
    return statistics.median(times)


def one_program(setup: Setup, options: Options) -> Table:
    """(a) One program against separately jitted parts with host round trips."""
    whole, _ = setup.compiled(avits.best_of_n, num_candidates=16)
    generator = setup.generator
    sample = jax.jit(
        lambda params, keys, cond: denoise(
            params, keys, generator.init(params, keys, cond), cond, generator=generator
        )[0]
    )
    decode = jax.jit(generator.decode)
    judges = [jax.jit(verifier.score) for verifier in setup.verifiers]
    update = jax.jit(setup.aggregator.update)

    def apart(key):
        keys = candidate_keys(key, 16)
        params, cond = setup.weights, setup.cond
        found = jax.device_get(sample(params.generator, keys, cond.generator))
        media = jax.device_get(decode(params.generator, found))
        rewards = np.stack(
            [
                jax.device_get(judge(weights, media, view))
                for judge, weights, view in zip(
                    judges, params.verifiers, cond.verifiers, strict=True
                )
            ],
            axis=1,
        )
        scores, state = jax.device_get(update(rewards, setup.state))
        best = int(np.argmax(scores))
        return jax.tree.map(lambda x: x[best], media), state

    def one_by_one(key):
        keys = candidate_keys(key, 16)
        params, cond = setup.weights, setup.cond
        rewards = []
        for i in range(16):
            found = sample(params.generator, keys[i : i + 1], cond.generator)
            media = jax.device_get(decode(params.generator, found))
            rows = zip(judges, params.verifiers, cond.verifiers, strict=True)
            rewards.append([float(judge(p, media, c)[0]) for judge, p, c in rows])
        return update(jnp.array(rewards), setup.state)

    table = Table("(a) best-of-16", "seconds", "against one program")
    base = None
    for name, function in (
        ("one program", whole),
        ("four parts, host between", apart),
        ("parts, one candidate at a time", one_by_one),
    ):
        seconds = median_seconds(function, options.repeats)
        base = base or seconds
        table.add_row(name, f"{seconds:.3f}", f"{seconds / base:.2f}x")
    return table


def population(setup: Setup, options: Options) -> Table:
    """(b) Seconds per candidate, and memory against chunk size."""
    table = Table("(b) candidates", "chunk", "seconds", "per candidate", "temporary MB")
    sizes = [n for n in (1, 4, 16, 64) if n <= options.max_candidates]
    rows = [(n, None) for n in sizes] + [(sizes[-1], n) for n in sizes[1:-1]]
    for num, batch in rows:
        call = jax.jit(
            partial(
                avits.best_of_n,
                **setup.parts(),
                num_candidates=num,
                candidate_batch=batch,
            )
        )
        args = (setup.weights, jax.random.key(0), setup.cond, setup.state)
        program = call.lower(*args).compile()
        analysis = program.memory_analysis()
        memory = analysis.temp_size_in_bytes / 1e6 if analysis else float("nan")
        seconds = median_seconds(
            lambda key, program=program: program(
                setup.weights, key, setup.cond, setup.state
            ),
            options.repeats,
        )
        table.add_row(
            str(num),
            str(batch or "all"),
            f"{seconds:.3f}",
            f"{seconds / num:.4f}",
            f"{memory:.0f}",
        )
    return table


def arw_update(setup: Setup, options: Options) -> Table:
    """(c) Time of one ARW update after histories of growing length."""
    table = Table("(c) rewards seen", "optimizer", "microseconds", "against 100")
    for optimizer in ("closed_form", "adam"):
        aggregator = avits.arw([1.0] * 3, optimizer=optimizer)
        update = jax.jit(aggregator.update)
        base = None
        for length in (10**2, 10**3, 10**4, 10**5, 10**6):
            history = jax.random.normal(jax.random.key(0), (length, 3))
            _, state = update(history, aggregator.init(3))
            rewards = history[:16]
            seconds = median_seconds(
                lambda key, s=state, r=rewards, u=update: [u(r, s) for _ in range(50)],
                options.repeats,
            )
            base = base or seconds
            table.add_row(
                f"{length:,}",
                optimizer,
                f"{seconds / 50 * 1e6:.0f}",
                f"{seconds / base:.2f}x",
            )
    return table


def elites(setup: Setup, options: Options) -> Table:
    """(d) EvoSearch with its elites cached, and repeated as in the original."""
    table = Table("(d) evosearch 5/5/5", "evaluations", "calls", "seconds", "ratio")
    settings = {"schedule": (0, 8), "population_sizes": (5, 5, 5)}
    base = None
    for name, again in (("elites kept", False), ("elites repeated", True)):
        program, _ = setup.compiled(
            avits.evosearch,
            **settings,
            options=avits.EvoOptions(redenoise_elites=again),
        )
        output = program(jax.random.key(0))
        seconds = median_seconds(program, options.repeats)
        base = base or seconds
        table.add_row(
            name,
            str(int(output.nfe)),
            str(int(output.verifier_calls)),
            f"{seconds:.3f}",
            f"{seconds / base:.2f}x",
        )
    return table


def compile_times(setup: Setup, options: Options) -> Table:
    """(e) Compile time of every search, at two numbers of steps."""
    table = Table("(e) search", "12 steps", "48 steps", "ratio")
    searches: dict[str, tuple[Callable, dict[str, Any]]] = {
        "best_of_n": (avits.best_of_n, {"num_candidates": 4}),
        "pruned_best_of_n": (
            avits.pruned_best_of_n,
            {"num_candidates": 4, "rungs": ((4, 2),)},
        ),
        "evosearch": (
            avits.evosearch,
            {"schedule": (0, 4), "population_sizes": (4, 4, 4)},
        ),
        "smc": (avits.smc, {"num_candidates": 4, "resample_steps": (3, 6)}),
        "beam_search": (
            avits.beam_search,
            {
                "num_beams": 2,
                "num_children": 2,
                "options": avits.BeamOptions(branch_steps=(4,)),
            },
        ),
        "zero_order": (avits.zero_order, {"num_candidates": 4, "num_iterations": 2}),
    }
    for name, (search, settings) in searches.items():
        seconds = []
        for num_steps in (12, 48):
            setup.generator, _ = avits.generators.load("mini", num_steps=num_steps)
            seconds.append(setup.compiled(search, **settings)[1])
        table.add_row(
            name,
            f"{seconds[0]:.1f} s",
            f"{seconds[1]:.1f} s",
            f"{seconds[1] / seconds[0]:.2f}x",
        )
    return table


TABLES = {
    "a": one_program,
    "b": population,
    "c": arw_update,
    "d": elites,
    "e": compile_times,
}


def main() -> None:
    """Run the tables that are asked for."""
    options = tyro.cli(Options)
    generator, params = avits.generators.load("mini")
    verifiers, vparams = avits.verifiers.load(VERIFIERS)
    aggregator = avits.arw([1.0] * 3, optimizer="closed_form")
    setup = Setup(
        generator,
        verifiers,
        avits.Params(params, vparams),
        avits.encode_prompt(PROMPT, generator, verifiers),
        aggregator,
        aggregator.init(3),
        Console(width=110),
    )
    setup.console.print(
        f"{platform.processor() or platform.machine()}, {jax.devices()[0]}, "
        f"jax {jax.__version__}, Python {platform.python_version()}"
    )
    for letter in options.parts:
        setup.console.print(TABLES[letter](setup, options))


if __name__ == "__main__":
    main()

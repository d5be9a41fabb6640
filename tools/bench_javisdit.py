"""Seconds per candidate of JavisDiT, how busy the card is, and where the time goes.

    python tools/bench_javisdit.py                    # a GPU: full size, 240p, 2 s, 4 s
    python tools/bench_javisdit.py --tiny             # anywhere: reduced networks

Weights are random and bfloat16; T5 runs inside. A case is one compiled search (prompt
ids in, the best clip out); beside it stand the same candidates one at a time, in the
same run. Utilisation is that of the denoising loop: its matrix operations, all turns of
loops counted, over its seconds and the card's dense bfloat16 rate. A case that does not
fit into memory is reported as such. Every time is a median.
"""

import argparse
import contextlib
import functools
import itertools
import json
import platform
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any
from unittest import mock

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import flax  # noqa: E402
import jax  # noqa: E402

import avits_jax as avits  # noqa: E402
from avits_jax.nn import attention  # noqa: E402
from avits_jax.parallel.flops import count_flops  # noqa: E402
from tools.bench_verifiers import bfloat16_rate, median_seconds  # noqa: E402
from tools.javisdit_parts import (  # noqa: E402
    Setup,
    block_programs,
    make_setup,
    stage_programs,
)

Row = dict[str, Any]


def options(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--tiny", action="store_true", help="reduced networks and clips")
    add("--durations", nargs="+", help="2s, 4s, ... or numbers of frames")
    add("--candidates", nargs="+", type=int, help="populations; 1 5 10")
    add("--steps", type=int, help="denoising steps; 30, of the reduced networks 4")
    add("--candidate-batch", type=int, help="candidates denoised at once; all")
    add("--decode-frames", type=int, help="frames decoded at once; 4")
    add("--repeats", type=int, default=3)
    add("--peak-tflops", type=float, help="dense bfloat16 rate of an unknown card")
    add("--no-parts", action="store_true", help="leave out stages and blocks")
    add("--json", type=Path, help="write all figures there as well")
    chosen = parser.parse_args(arguments)
    chosen.durations = chosen.durations or (["17"] if chosen.tiny else ["2s", "4s"])
    chosen.candidates = chosen.candidates or ([1, 2] if chosen.tiny else [1, 5, 10])
    return chosen


@contextlib.contextmanager
def attention_by(implementation: str) -> Iterator[None]:
    """Have programs that are traced inside use XLA's attention, or the best one."""
    if implementation == "best":
        yield
        return
    with mock.patch.object(attention, "implementation", lambda *_: "xla"):
        yield


def implementations() -> tuple[str, ...]:
    """Attention implementations that there is a choice of here."""
    return ("best", "xla") if jax.default_backend() == "gpu" else ("best",)


def search_program(setup: Setup, count: int, batch: int | None) -> Callable[..., Any]:
    """``(params, key, prompt) -> best clip`` of so many candidates, jitted."""

    def brightness(params, media, cond):
        return media.video.mean((1, 2, 3, 4))

    search = functools.partial(
        avits.best_of_n,
        generator=setup.generator,
        verifiers=(avits.Verifier("brightness", brightness),),
        aggregator=avits.weighted([1.0]),
        num_candidates=count,
        candidate_batch=batch,
    )

    def run(params, key, prompt):
        return search(avits.Params(params, ((),)), key, avits.Cond(prompt, ((),))).best

    return jax.jit(run)


def compiled(function: Callable[..., Any], *arguments: Any) -> Any:
    """The compiled program; its `memory_analysis` says what it takes."""
    return jax.jit(function).lower(*arguments).compile()


def time_case(setup: Setup, count: int, chosen: argparse.Namespace) -> Row:
    """Seconds of one population at once, and of its candidates one after another."""
    key, prompt = jax.random.key(0), setup.prompt
    keys = list(jax.random.split(key, count))
    together = compiled(
        search_program(setup, count, chosen.candidate_batch), setup.params, key, prompt
    )
    single = compiled(search_program(setup, 1, None), setup.params, key, prompt)
    at_once, apart = median_seconds(
        (
            lambda: together(setup.params, key, prompt),
            lambda: [single(setup.params, each, prompt) for each in keys],
        ),
        chosen.repeats,
    )
    return {
        "seconds": at_once,
        "per_candidate": at_once / count,
        "one_at_a_time": apart / count,
        "program_gb": together.memory_analysis().temp_size_in_bytes / 1e9,
    }


def time_stages(setup: Setup, count: int, chosen: argparse.Namespace) -> Row:
    """Seconds of each stage of a population, and the use of the denoising loop."""
    found: Row = {}
    for name, function, arguments in stage_programs(setup, count):
        program = compiled(function, *arguments)
        (seconds,) = median_seconds(
            (functools.partial(program, *arguments),), chosen.repeats
        )
        found[name] = seconds
        if name == "denoise":
            work = count_flops(jax.jit(function).trace(*arguments).jaxpr)
            found["tflop_per_second"] = work / seconds / 1e12
    return found


def time_blocks(setup: Setup, count: int, chosen: argparse.Namespace) -> Row:
    """Milliseconds of one block of each kind, on a population's guided rows."""
    found: Row = {}
    for name, function, arguments in block_programs(setup, count):
        program = compiled(function, *arguments)
        (seconds,) = median_seconds(
            (functools.partial(program, *arguments),), chosen.repeats
        )
        found[name] = seconds * 1e3
    return found


def attempt(measure: Callable[[], Row]) -> Row:
    """What `measure` returns, or that memory did not do."""
    try:
        return measure()
    except jax.errors.JaxRuntimeError as error:
        if "RESOURCE_EXHAUSTED" not in str(error) and "memory" not in str(error):
            raise
        return {"failed": "out of memory"}


def measure_all(chosen: argparse.Namespace) -> dict[str, list[Row]]:
    """By what is timed, a row per duration, population and attention implementation."""
    parts = {"the whole search": time_case}
    if not chosen.no_parts:
        parts["stages, seconds"] = time_stages
        parts["one block, milliseconds"] = time_blocks
    found: dict[str, list[Row]] = {title: [] for title in parts}
    for duration in chosen.durations:
        setup = make_setup(duration, chosen)
        for count, kind in itertools.product(chosen.candidates, implementations()):
            case = {"duration": duration, "candidates": count, "attention": kind}
            print(case, file=sys.stderr, flush=True)
            with attention_by(kind):
                for title, part in parts.items():
                    row = attempt(functools.partial(part, setup, count, chosen))
                    found[title].append(case | row)
    return found


def table(rows: Sequence[Row], rate: float | None) -> str:
    """Rows as Markdown; a dash where there is no figure."""
    names = dict.fromkeys(name for row in rows for name in row)
    shown = [*names, *(["utilisation"] if rate and "denoise" in names else [])]
    lines = [f"| {' | '.join(shown)} |", "|---" * len(shown) + "|"]
    for row in rows:
        if rate and "tflop_per_second" in row:
            row = row | {"utilisation": f"{row['tflop_per_second'] / rate:.1%}"}
        lines.append(f"| {' | '.join(_cell(row.get(name)) for name in shown)} |")
    return "\n".join(lines)


def _cell(value: Any) -> str:
    if value is None:
        return "-"
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print; 2 where full size is asked for without a GPU or TPU."""
    chosen = options(arguments)
    device = jax.devices()[0]
    if device.platform == "cpu" and not chosen.tiny:
        print("bench_javisdit: no GPU or TPU was found; try --tiny", file=sys.stderr)
        return 2
    rate = chosen.peak_tflops or bfloat16_rate()
    print(
        f"{platform.machine()}, {device.device_kind}, jax {jax.__version__}, "
        f"flax {flax.__version__}, Python {platform.python_version()}; "
        f"{'reduced' if chosen.tiny else 'full-size'} networks, random bfloat16 "
        f"weights; median of {chosen.repeats}"
    )
    if device.platform == "cpu":
        print("No GPU was there: these figures say nothing of one.")
    elif rate is None:
        print("The card's rate is not known: give it with --peak-tflops.")
    found = measure_all(chosen)
    for title, rows in found.items():
        print(f"\n{title}\n\n{table(rows, rate)}")
    peak = (device.memory_stats() or {}).get("peak_bytes_in_use")
    if peak:
        print(f"\npeak memory of all cases: {peak / 1e9:.1f} GB")
    if chosen.json:
        chosen.json.write_text(json.dumps(found, indent=1) + "\n", "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())

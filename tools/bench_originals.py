"""Seconds of every ported network beside its PyTorch original, on a CPU.

    python tools/bench_originals.py                           # torch and transformers
    python tools/bench_originals.py --originals FOLDER        # and checkouts in FOLDER
    OMP_NUM_THREADS=1 taskset -c 1 python tools/bench_originals.py --clock cpu

Both have the same float32 weights, drawn at random and renamed by our name maps, and
the same inputs; the largest difference of their results stands beside the times. Sizes
are reduced, widths are the published ones where nothing else is said. Both use as many
threads as the process has CPUs; they take turns, of two runs each of which the second
counts, and every time is a median. ``--clock cpu`` counts the processor's time instead
of the wall's, which other processes disturb less: on one CPU, where no thread waits for
another.

The extra "parity" brings torch; diffusers, einops and rotary-embedding-torch are
installed by hand. FOLDER holds a folder for each repository, with its name and source;
for which, and their commits, see ``--list``. What is absent is a row of its own.
"""

import argparse
import gc
import importlib.metadata
import os
import platform
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import jax  # noqa: E402

from tools.ltx2_originals import NotThere  # noqa: E402
from tools.originals.cases import CASES, Case, sources  # noqa: E402
from tools.originals.importing import package  # noqa: E402
from tools.originals.pairs import difference  # noqa: E402

Row = dict[str, Any]
CLOCKS = {"wall": time.perf_counter, "cpu": time.process_time}
SHOWN = (
    "network",
    "sizes",
    "original from",
    "ours s",
    "original s",
    "ratio",
    "difference",
)
_PACKAGES = ("jax", "flax", "torch", "transformers", "diffusers")


def options(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--originals", type=Path, metavar="FOLDER", help="checkouts of repositories")
    add("--only", nargs="+", default=[], help="parts of names of networks")
    add("--repeats", type=int, default=5)
    add("--clock", choices=list(CLOCKS), default="wall")
    add("--list", action="store_true", help="name networks and sources, run nothing")
    return parser.parse_args(arguments)


def chosen_cases(parts: Sequence[str]) -> list[Case]:
    """The cases whose names hold one of the parts; all without parts."""
    found = [
        case
        for case in CASES
        if not parts or any(part.lower() in case.name.lower() for part in parts)
    ]
    if not found:
        raise SystemExit(f"bench_originals: no network is called {' or '.join(parts)}")
    return found


def median_times(
    functions: Sequence[Callable[[], Any]], repeats: int, clock: str
) -> list[float]:
    """Median of each, in turns of two runs of which the second counts.

    In the first one threads of the other framework may still spin, and caches hold
    what it read.
    """
    now = CLOCKS[clock]
    times: list[list[float]] = [[] for _ in functions]
    for _ in range(repeats):
        for function, found in zip(functions, times, strict=True):
            jax.block_until_ready(function())
            started = now()
            jax.block_until_ready(function())
            found.append(now() - started)
    return [statistics.median(found) for found in times]


def measure(case: Case, chosen: argparse.Namespace) -> Row:
    """One row: both times, or why there are none."""
    row = {"network": case.name, "sizes": case.sizes, "original from": case.source}
    try:
        package("torch").set_num_threads(threads())
        pair = case.make(chosen.originals)
        off = difference(pair)
    except NotThere as error:
        return row | {"ours s": f"not run: {error}"}
    ours, theirs = median_times(
        (pair.ours, pair.original), chosen.repeats, chosen.clock
    )
    return row | {
        "ours s": f"{ours:.3g}",
        "original s": f"{theirs:.3g}",
        "ratio": f"{ours / theirs:.2f}",
        "difference": f"{off:.0e}",
    }


def threads() -> int:
    """How many CPUs this process may use; XLA goes by it, too."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def line(row: Row) -> str:
    """A row of the table in Markdown; a dash where there is no figure."""
    return f"| {' | '.join(row.get(name, '-') for name in SHOWN)} |"


def versions() -> str:
    """Hardware, and versions of what takes part."""
    found = []
    for name in _PACKAGES:
        try:
            found.append(f"{name} {importlib.metadata.version(name)}")
        except importlib.metadata.PackageNotFoundError:
            found.append(f"no {name}")
    return f"{_processor()}; Python {platform.python_version()}, {', '.join(found)}"


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text("utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    named = [x.partition(":")[2].strip() for x in lines if x.startswith("model name")]
    return named[0] if named else platform.machine()


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print; 2 where the device is no CPU."""
    chosen = options(arguments)
    if chosen.list:
        for case in CASES:
            print(f"{case.name}: {case.sizes}; {case.source}")
        print(f"Originals: {sources()}.")
        return 0
    if jax.default_backend() != "cpu":
        print("bench_originals: set JAX_PLATFORMS=cpu", file=sys.stderr)
        return 2
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else float("nan")
    print(
        f"{versions()}; threads: {threads()}; load of the machine at the start: "
        f"{load:.1f}; medians of {chosen.repeats} turns, {chosen.clock} seconds\n"
    )
    print(f"| {' | '.join(SHOWN)} |\n{'|---' * len(SHOWN)}|", flush=True)
    for case in chosen_cases(chosen.only):
        print(line(measure(case, chosen)), flush=True)
        gc.collect()  # weights of gigabytes
    return 0


if __name__ == "__main__":
    sys.exit(main())

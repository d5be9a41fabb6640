"""CPU seconds of `avits generate` with mini, cold and warm, by what they are spent on.

Every round starts fresh processes: ``import jax``, ``import avits_jax``, ``avits
--help``, a generation with an empty compilation cache, and one with that cache. Seconds
are user and system time of all threads; medians of all rounds are printed.

    python tools/bench_startup.py
"""

import builtins
import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
import threading
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(_ROOT))

PROMPT = "a red circle bounces three times with a bell"
PARTS = ("imports", "loading", "compiling", "searching", "writing", "other")
_CHILD = "--child"


@dataclass
class Options:
    """Measure starting up.

    Attributes:
        rounds: fresh processes of every kind.
    """

    rounds: int = 5


class Meter:
    """Splits this process's CPU seconds: imports apart, the rest by stage."""

    def __init__(self) -> None:
        self.spent: defaultdict[str, float] = defaultdict(float)
        self._part, self._since, self._depth = "other", 0.0, 0
        self._import = builtins.__import__
        builtins.__import__ = self._measured_import

    def enter(self, part: str) -> str:
        """Count to another part from now on; return the one before."""
        now = _seconds(resource.RUSAGE_SELF)
        self.spent[self._part] += now - self._since
        before, self._part, self._since = self._part, part, now
        return before

    @contextmanager
    def within(self, part: str) -> Iterator[None]:
        """Count to a part while the block runs."""
        before = self.enter(part)
        try:
            yield
        finally:
            self.enter(before)

    def _measured_import(self, *arguments: Any, **named: Any) -> Any:
        outer = self._depth == 0
        if not outer or threading.current_thread() is not threading.main_thread():
            return self._import(*arguments, **named)
        self._depth = 1
        try:
            with self.within("imports"):
                return self._import(*arguments, **named)
        finally:
            self._depth = 0


def _seconds(whose: int) -> float:
    usage = resource.getrusage(whose)
    return usage.ru_utime + usage.ru_stime


def child(arguments: list[str]) -> None:
    """Run the command line, and print as JSON what its parts took."""
    meter = Meter()
    from avits_jax.cli import progress

    plain = progress.stage

    @contextmanager
    def measured(
        title: str, done: str = "", total: int | None = None
    ) -> Iterator[progress.Stage]:
        part = title.split()[0].lower()
        with meter.within(part), plain(title, done, total) as current:
            yield current

    module: Any = progress
    module.stage = measured
    from avits_jax.cli import main

    status = main(arguments)
    meter.enter("other")
    print(json.dumps(meter.spent))
    sys.exit(status)


def timed(arguments: list[str], cache: Path) -> tuple[float, str]:
    """Return CPU seconds of a fresh interpreter, and what it printed."""
    before = _seconds(resource.RUSAGE_CHILDREN)
    done = subprocess.run(
        [sys.executable, *arguments],
        env=os.environ
        | {"PYTHONPATH": str(_ROOT), "XDG_CACHE_HOME": str(cache)}
        | {"JAX_PLATFORMS": "cpu"},
        check=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    return _seconds(resource.RUSAGE_CHILDREN) - before, done.stdout


def generation(folder: Path, cache: Path) -> dict[str, float]:
    """Return CPU seconds of one generation, whole and by part."""
    flags = ["generate", PROMPT, "--out", str(folder / "run"), "--force"]
    total, printed = timed([__file__, _CHILD, *flags], cache)
    spent = json.loads(printed.splitlines()[-1])
    parts = {part: spent.get(part, 0.0) for part in PARTS}
    # What the meter cannot see: the interpreter's own start and end.
    parts["other"] += total - sum(parts.values())
    return {"total": total, **parts}


def one_round(folder: Path) -> dict[str, dict[str, float]]:
    """Return the seconds of every kind of process, each begun once."""
    cache = Path(tempfile.mkdtemp(dir=folder))
    short = {
        "import jax": ["-c", "import jax"],
        "import avits_jax": ["-c", "import avits_jax"],
        "avits --help": ["-m", "avits_jax.cli", "--help"],
    }
    found = {name: {"total": timed(code, cache)[0]} for name, code in short.items()}
    return found | {
        "generate, cold": generation(folder, cache),
        "generate, warm": generation(folder, cache),
    }


def main(options: Options) -> None:
    """Print the table."""
    with tempfile.TemporaryDirectory() as folder:
        rounds = [one_round(Path(folder)) for _ in range(options.rounds)]
    print(f"{platform.machine()}, {os.cpu_count()} cores, {platform.python_version()}")
    columns = ("total", "to import jax", *PARTS)
    print(f"| process | {' | '.join(columns)} |\n|{'---|' * (len(columns) + 1)}")
    for name in rounds[0]:
        medians = {
            part: statistics.median(found[name][part] for found in rounds)
            for part in rounds[0][name]
        }
        ratio = statistics.median(
            found[name]["total"] / found["import jax"]["total"] for found in rounds
        )
        cells = [f"{medians['total']:.2f}", f"{ratio:.2f}"]
        cells += [f"{medians[p]:.2f}" if p in medians else "" for p in PARTS]
        print(f"| {name} | {' | '.join(cells)} |")


if __name__ == "__main__":
    if sys.argv[1:2] == [_CHILD]:
        child(sys.argv[2:])
    else:
        import tyro

        main(tyro.cli(Options, description=__doc__))

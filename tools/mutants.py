"""Show that the core's tests can fail: plant one fault at a time, and run them.

Each of the faults in tools/mutants.toml is one line of the core, changed. A copy of the
package gets it, and the tests named beside it must fail::

    python tools/mutants.py                  # all, two at a time
    python tools/mutants.py --only 3,17      # some of them
    python tools/mutants.py --list

Exit status: 0 if every fault was noticed, 1 if one survived.
"""

import concurrent.futures
import os
import shutil
import subprocess
import sys
import tempfile
import time
import tomllib
from pathlib import Path
from typing import Annotated, NamedTuple

import tyro

ROOT = Path(__file__).resolve().parents[1]
LIST = Path(__file__).with_suffix(".toml")
_COPIED = ("avits_jax", "tests", "configs", "checkpoints/mini", "pyproject.toml")
_LEFT_OUT = ("__pycache__", "javisdit", "verifiers", "t5", "generators")


class Mutant(NamedTuple):
    """One planted fault.

    Attributes:
        number: its place in the list, from 1.
        file: below ``avits_jax/``.
        line: the line as it is, without its indentation.
        change: the line as it becomes.
        tests: below ``tests/``; what must fail.
        place: which of several equal lines of the file, from 1; 0 for its only one.
    """

    number: int
    file: str
    line: str
    change: str
    tests: tuple[str, ...]
    place: int = 0


def read_list() -> list[Mutant]:
    """Return all mutants.

    Raises:
        ValueError: a line does not occur exactly once in its file.
    """
    rows = tomllib.loads(LIST.read_text(encoding="utf-8"))["mutant"]
    mutants = [
        Mutant(i, **row | {"tests": tuple(row["tests"])})
        for i, row in enumerate(rows, 1)
    ]
    for mutant in mutants:
        mutated((ROOT / "avits_jax" / mutant.file).read_text(encoding="utf-8"), mutant)
    return mutants


def mutated(source: str, mutant: Mutant) -> str:
    """Return a file's text with the fault in it.

    Raises:
        ValueError: the line does not occur exactly once.
    """
    lines = source.split("\n")
    places = [i for i, line in enumerate(lines) if line.strip() == mutant.line]
    if not (len(places) == 1 if mutant.place == 0 else mutant.place <= len(places)):
        raise ValueError(
            f"mutant {mutant.number}: the line {mutant.line!r} must occur once in "
            f"avits_jax/{mutant.file} (or place must say which), found {len(places)}"
        )
    chosen = places[max(mutant.place - 1, 0)]
    old = lines[chosen]
    lines[chosen] = old[: len(old) - len(old.lstrip())] + mutant.change
    return "\n".join(lines)


def survives(mutant: Mutant) -> tuple[bool, str, float]:
    """Plant a fault in a copy and run its tests.

    Returns:
        Whether all tests passed, the first failure's name, and the seconds it took.
    """
    started = time.monotonic()
    with tempfile.TemporaryDirectory() as scratch:
        copy = Path(scratch)
        for name in _COPIED:
            source = ROOT / name
            if source.is_dir():
                ignored = (
                    shutil.ignore_patterns(*_LEFT_OUT) if name == "tests" else None
                )
                shutil.copytree(source, copy / name, ignore=ignored)
            else:
                shutil.copy(source, copy / name)
        path = copy / "avits_jax" / mutant.file
        path.write_text(mutated(path.read_text(encoding="utf-8"), mutant), "utf-8")
        command = [sys.executable, "-m", "pytest", "-x", "-q", "-n", "0", "-p"]
        command += ["no:cacheprovider", *(f"tests/{name}" for name in mutant.tests)]
        done = subprocess.run(
            command,
            cwd=copy,
            env=os.environ | {"PYTHONPATH": scratch, "JAX_PLATFORMS": "cpu"},
            capture_output=True,
            text=True,
            check=False,
        )
    failures = [line for line in done.stdout.splitlines() if line.startswith("FAILED")]
    first = failures[0].removeprefix("FAILED ").split(" - ")[0] if failures else ""
    if done.returncode not in (0, 1) or (done.returncode == 1 and not failures):
        raise RuntimeError(
            f"mutant {mutant.number}: the tests did not run\n{done.stdout[-2000:]}"
        )
    return done.returncode == 0, first, time.monotonic() - started


def main(
    only: Annotated[str, tyro.conf.arg(metavar="I,I,...")] = "",
    jobs: int = 2,
    list: bool = False,  # noqa: A002
) -> int:
    """Plant the faults and say which tests notice them.

    Args:
        only: numbers of faults; all by default.
        jobs: how many at a time.
        list: print the faults and stop.
    """
    mutants = read_list()
    if only:
        chosen = {int(number) for number in only.split(",")}
        mutants = [mutant for mutant in mutants if mutant.number in chosen]
    if list:
        for m in mutants:
            print(f"{m.number:>2}  {m.file}\n    - {m.line}\n    + {m.change}")
        return 0
    alive = 0
    with concurrent.futures.ThreadPoolExecutor(jobs) as pool:
        results = pool.map(survives, mutants)
        for mutant, (survived, first, seconds) in zip(mutants, results, strict=True):
            alive += survived
            verdict = "SURVIVED" if survived else f"killed by {first}"
            row = f"{mutant.number:>2}  {seconds:5.1f} s  {mutant.file}  {verdict}"
            print(row, flush=True)
    print(f"{len(mutants) - alive} of {len(mutants)} killed")
    return int(alive > 0)


if __name__ == "__main__":
    raise SystemExit(tyro.cli(main, description=__doc__))

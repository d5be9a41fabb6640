"""Try what fails: killed runs, storms of rewards, and long runs.

Each of them is a subcommand, and says how many of its trials held::

    python tools/robustness.py kills --count 20       # SIGKILL, resume, same bytes
    python tools/robustness.py storms --count 1000    # NaN, infinities, outliers
    python tools/robustness.py soak --prompts 300     # memory of a long run

Broken files are tests (``pytest -m slow``, see RESULTS.md). Exit status: 0 if all held,
1 otherwise.
"""

import platform
import random
import resource
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import tyro

import avits_jax as avits

_PROMPTS = ("a red circle bounces twice with a bell", "a blue square jumps with a drum")
_SMALL = ("--num-candidates", "2", "--steps", "2", "--optimizer", "adam")
_BY_TIME = {"times.jsonl", "report.html", "run.json"}  # differ from run to run


def kills(count: int = 20, prompts: int = 8, seed: int = 0) -> bool:
    """Kill runs at random moments, and compare them with an undisturbed one.

    Args:
        count: kills in all; a run that is done starts anew.
        prompts: prompts of a run.
        seed: of the moments.
    """
    chance = random.Random(seed)
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        table = folder / "prompts.txt"
        table.write_text("\n".join(_PROMPTS * (prompts // 2)), encoding="utf-8")
        _start(table, folder / "first").wait()  # later runs need not compile
        started = time.monotonic()
        _start(table, folder / "whole").wait()
        seconds, wanted = time.monotonic() - started, _kept(folder / "whole")
        done = same = killed = 0
        while killed < count:
            out = folder / f"killed{done}"
            process = _start(table, out)
            try:
                process.wait(chance.uniform(0, seconds))
            except subprocess.TimeoutExpired:
                process.send_signal(signal.SIGKILL)
                process.wait()
                killed += 1
                continue
            done, same = done + 1, same + (_kept(out) == wanted)
        out = folder / f"killed{done}"
        _start(table, out).wait()
        done, same = done + 1, same + (_kept(out) == wanted)
    print(f"kills: {killed} kills, {same} of {done} runs ended byte-identical")
    return same == done


def _start(table: Path, out: Path) -> "subprocess.Popen[bytes]":
    command = [sys.executable, "-m", "avits_jax.cli", "run", str(table)]
    command += ["--out", str(out), *_SMALL]
    null = subprocess.DEVNULL
    return subprocess.Popen(command, stdout=null, stderr=null)


def _kept(out: Path) -> dict[str, bytes]:
    files = (path for path in out.rglob("*") if path.is_file())
    return {p.name: p.read_bytes() for p in files if p.name not in _BY_TIME}


def storms(count: int = 1000, seed: int = 0) -> bool:
    """Feed aggregators rewards of all sizes, NaN and infinities, then sound ones.

    A storm holds if the state stays finite, each sound population after it has a
    best candidate, and a candidate with a reward that is no number is never the best.

    Args:
        count: storms in all, over every aggregator.
        seed: of the rewards.
    """
    rng = np.random.default_rng(seed)
    weights = [0.7, 0.3]
    kinds = {name: avits.arw(weights, name) for name in avits.aggregation.OPTIMIZERS}
    kinds |= {
        "zscore_history": avits.zscore_history(weights),
        "zscore_candidate": avits.zscore_candidate(weights),
        "minmax": avits.minmax(weights),
        "rank": avits.rank(weights),
    }
    updates = {name: jax.jit(kind.update) for name, kind in kinds.items()}
    held = 0
    for number in range(count):
        name = list(kinds)[number % len(kinds)]
        held += _holds(updates[name], kinds[name].init(2), rng)
    print(f"storms: {held} of {count} held")
    return held == count


def _holds(update: Any, state: Any, rng: np.random.Generator) -> bool:
    odd = (np.nan, np.inf, -np.inf, 3e38, -3e38, 1e-45)
    for _ in range(3):
        rewards = rng.normal(size=(8, 2)) * 10.0 ** rng.integers(-12, 18, (8, 2))
        where = rng.random((8, 2)) < 0.2
        rewards = np.where(where, rng.choice(odd, (8, 2)), rewards).astype(np.float32)
        scores, state = update(jnp.asarray(rewards), state)
        scores, failed = np.asarray(scores), ~np.isfinite(rewards).all(axis=1)
        if np.isnan(scores).any() or np.isfinite(scores[failed]).any():
            return False
    for _ in range(5):
        scores, state = update(rng.normal(size=(8, 2)).astype(np.float32), state)
        if not np.isfinite(scores).all():
            return False
    leaves = (np.asarray(leaf) for leaf in jax.tree.leaves(state))
    return all(np.isfinite(leaf).all() for leaf in leaves)


def soak(prompts: int = 300) -> bool:
    """Run one long table of prompts and watch the memory of its process (on Linux).

    Args:
        prompts: how many; the first tenth is the warm-up.
    """
    with tempfile.TemporaryDirectory() as scratch:
        table = Path(scratch) / "prompts.txt"
        table.write_text("\n".join(_PROMPTS * (prompts // 2)), encoding="utf-8")
        out = Path(scratch) / "run"
        process = _start(table, out)
        status, sizes = Path(f"/proc/{process.pid}/statm"), []
        records = out / "records.jsonl"
        while process.poll() is None:
            time.sleep(0.2)
            rows = records.read_bytes().count(b"\n") if records.exists() else 0
            pages = [int(field) for field in status.read_text().split()[1:2]]
            sizes += [(rows, page * resource.getpagesize() / 2**20) for page in pages]
    warm = max(size for rows, size in sizes if rows <= prompts // 10)
    whole = max(size for _, size in sizes)
    print(f"soak: {prompts} prompts, {warm:.0f} MiB warm, {whole:.0f} MiB at most")
    return process.returncode == 0 and whole < 1.2 * warm


def main() -> int:
    """Run one of the trials."""
    commands = {each.__name__: each for each in (kills, storms, soak)}
    print(
        f"{platform.machine()}, jax {jax.__version__}, {jax.devices()[0]}, "
        f"Python {platform.python_version()}"
    )
    started = time.monotonic()
    held = tyro.extras.subcommand_cli_from_dict(commands, description=__doc__)
    print(f"{time.monotonic() - started:.0f} s")
    return int(not held)


if __name__ == "__main__":
    raise SystemExit(main())

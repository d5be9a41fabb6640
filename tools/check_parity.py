"""Run every golden of a folder; exit status 1 if one misses its tolerance.

python tools/check_parity.py FOLDER [--only PATTERN] [--verbose]
"""

import argparse
import sys
import time
import traceback
from fnmatch import fnmatchcase
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import jax  # noqa: E402

from tools.parity.checks import Check  # noqa: E402
from tools.parity.golden import Golden, find_goldens  # noqa: E402
from tools.parity.registry import load_runners, run_golden  # noqa: E402


def describe(check: Check) -> str:
    """One comparison as a line."""
    verdict = "ok  " if check.passed else "FAIL"
    error = f"max abs error {check.error:.2e}, {check.ratio:.3f} of the tolerance"
    return f"    {verdict} {check.output}: {check.note or error}"


def report(golden: Golden, verbose: bool) -> bool:
    """Run one golden, print its line and what failed; True if it passed."""
    start = time.perf_counter()
    try:
        with jax.default_matmul_precision("highest"):
            checks = run_golden(golden)
    except LookupError as error:
        print(f"FAIL {golden.name}: {error}", flush=True)
        return False
    except Exception:
        print(f"FAIL {golden.name}: the run broke off", flush=True)
        traceback.print_exc()
        return False
    passed = all(check.passed for check in checks)
    worst = max(checks, key=lambda check: check.ratio)
    seconds = time.perf_counter() - start
    print(
        f"{'ok  ' if passed else 'FAIL'} {golden.name}: {len(checks)} outputs, worst "
        f"{worst.output} max abs error {worst.error:.2e} = {worst.ratio:.3f} of the "
        f"tolerance, {seconds:.1f} s",
        flush=True,
    )
    for check in checks:
        if verbose or not check.passed:
            print(describe(check), flush=True)
    return passed


def main(arguments: list[str] | None = None) -> int:
    """Run the goldens named on the command line; 0 if all pass."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folder", type=Path, help="folder of goldens")
    parser.add_argument("--only", default="*", help="pattern of names to run")
    parser.add_argument("--verbose", action="store_true", help="list every output")
    options = parser.parse_args(arguments)
    try:
        goldens = find_goldens(options.folder)
    except FileNotFoundError as error:
        parser.error(str(error))
    goldens = [g for g in goldens if fnmatchcase(g.name, options.only)]
    if not goldens:
        parser.error(f"no golden of {options.folder} is called {options.only}")
    load_runners()
    passed = [report(golden, options.verbose) for golden in goldens]
    print(f"{sum(passed)} of {len(passed)} goldens passed")
    return 0 if all(passed) else 1


if __name__ == "__main__":
    sys.exit(main())

"""Case runners by the names of the goldens that they run."""

import importlib
import pkgutil
from collections.abc import Callable, Mapping
from fnmatch import fnmatchcase
from typing import Any

import tools.parity
from tools.parity.checks import Check, compare_all
from tools.parity.golden import Golden

Runner = Callable[[Golden], Mapping[str, Any]]
_RUNNERS: dict[str, Runner] = {}


def register(*patterns: str) -> Callable[[Runner], Runner]:
    """Declare a function the runner of goldens whose name fits one of the patterns.

    A runner takes a `Golden` and returns output name -> array, or `Expect` where the
    golden's own tolerance or outputs do not fit. Of several patterns the longest wins.

    Raises:
        ValueError: a pattern is taken.
    """

    def add(runner: Runner) -> Runner:
        for pattern in patterns:
            if pattern in _RUNNERS:
                raise ValueError(f"pattern {pattern!r} has a runner already")
            _RUNNERS[pattern] = runner
        return runner

    return add


def load_runners() -> None:
    """Import every module of this package, so that its runners are registered."""
    for module in pkgutil.iter_modules(tools.parity.__path__):
        importlib.import_module(f"tools.parity.{module.name}")


def find_runner(name: str) -> Runner | None:
    """Runner of the golden ``name``, or None."""
    fitting = [pattern for pattern in _RUNNERS if fnmatchcase(name, pattern)]
    return _RUNNERS[max(fitting, key=len)] if fitting else None


def run_golden(golden: Golden) -> list[Check]:
    """Run one golden and compare everything it expects.

    Raises:
        LookupError: no runner knows the golden.
    """
    runner = find_runner(golden.name)
    if runner is None:
        raise LookupError(f"no runner knows {golden.name}")
    checks = compare_all(golden, runner(golden))
    if not checks:
        raise LookupError(f"the runner of {golden.name} compared nothing")
    return checks

"""Case runners by what a golden holds, or else by its name."""

import importlib
import pkgutil
from collections.abc import Callable, Iterable, Mapping
from fnmatch import fnmatchcase
from typing import Any, NamedTuple

import tools.parity
from tools.parity.checks import Check, compare_all
from tools.parity.golden import Golden

Runner = Callable[[Golden], Mapping[str, Any]]


class _Entry(NamedTuple):
    """A runner, the names that it is for, and what its goldens hold."""

    runner: Runner
    patterns: tuple[str, ...]
    holds: tuple[str, ...]


_ENTRIES: list[_Entry] = []


def register(*patterns: str, holds: Iterable[str] = ()) -> Callable[[Runner], Runner]:
    """Declare a function the runner of goldens.

    A runner takes a `Golden` and returns output name -> array, or `Expect` where the
    golden's own tolerance or outputs do not fit.

    Args:
        patterns: of the goldens' names.
        holds: patterns of what such goldens hold, see `contents`; a golden that holds
            all of it is run whatever its name. Of several runners the one that asks for
            most wins, then the one with the longest pattern of names.

    Raises:
        ValueError: a pattern is taken.
    """

    def add(runner: Runner) -> Runner:
        taken = {pattern for entry in _ENTRIES for pattern in entry.patterns}
        for pattern in patterns:
            if pattern in taken:
                raise ValueError(f"pattern {pattern!r} has a runner already")
        _ENTRIES.append(_Entry(runner, patterns, tuple(holds)))
        return runner

    return add


def load_runners() -> None:
    """Import every module of this package, so that its runners are registered."""
    for module in pkgutil.iter_modules(tools.parity.__path__):
        importlib.import_module(f"tools.parity.{module.name}")


def contents(golden: Golden) -> list[str]:
    """Names of a golden's arrays and of all entries of its JSON, joined by dots."""
    return [*golden.arrays, *_entries(golden.info, "")]


def find_runner(golden: Golden) -> Runner | None:
    """Runner of a golden, or None."""
    held = contents(golden)
    ranks = {}
    for entry in _ENTRIES:
        asked = entry.holds
        found = [any(fnmatchcase(name, glob) for name in held) for glob in asked]
        names = [len(p) for p in entry.patterns if fnmatchcase(golden.name, p)]
        if names or (asked and all(found)):
            ranks[entry.runner] = (
                len(asked) if all(found) else 0,
                max(names, default=0),
            )
    return max(ranks, key=lambda runner: ranks[runner]) if ranks else None


def run_golden(golden: Golden) -> list[Check]:
    """Run one golden and compare everything it expects.

    Raises:
        LookupError: no runner knows the golden.
    """
    runner = find_runner(golden)
    if runner is None:
        raise LookupError(f"no runner knows {golden.name}")
    checks = compare_all(golden, runner(golden))
    if not checks:
        raise LookupError(f"the runner of {golden.name} compared nothing")
    return checks


def _entries(values: Mapping[str, Any], prefix: str) -> list[str]:
    names = []
    for key, value in values.items():
        names.append(prefix + key)
        if isinstance(value, Mapping):
            names += _entries(value, f"{prefix}{key}.")
    return names

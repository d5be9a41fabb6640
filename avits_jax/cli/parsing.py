"""Flags to options: tyro, with defaults from a config file and one-line errors."""

import contextlib
import dataclasses
import inspect
import io
import itertools
import typing
from typing import Any, TypeVar

import tyro

from avits_jax.cli.config import read_config
from avits_jax.cli.errors import CliError

T = TypeVar("T")


def parse(
    options: type[T], prog: str, arguments: list[str], example: str, notes: str = ""
) -> T | None:
    """Parse ``arguments`` into a dataclass of options.

    A ``config`` field makes ``--config FILE`` supply defaults that flags override. A
    flag of a list that is given again adds to the list.

    Args:
        options: the dataclass.
        prog: the program and command, for the help.
        arguments: what follows them.
        example: shown at the end of the help.
        notes: shown before the example.

    Returns:
        The options, or None if help was asked for and printed.

    Raises:
        CliError: an argument or the config file is not as it should be.
    """
    arguments = _lists_joined(options, arguments)
    default = _configured(options, arguments)
    printed = io.StringIO()
    try:
        with contextlib.redirect_stderr(printed):
            return tyro.cli(
                options,
                prog=prog,
                args=arguments,
                default=default,
                description=_describe(options, example, notes),
            )
    except SystemExit as stop:
        if stop.code in (0, None):
            return None
        raise CliError(
            f"{_first_words(printed.getvalue())}; see {prog} --help"
        ) from None


def _configured(options: Any, arguments: list[str]) -> Any:
    """Return the options that a config file asks for, or None without one."""
    names = {field.name for field in dataclasses.fields(options)}
    source = _value_of("--config", arguments) if "config" in names else None
    if source is None:
        return None
    missing = dataclasses.MISSING
    values = {
        field.name: tyro.MISSING if field.default is missing else field.default
        for field in dataclasses.fields(options)
    }
    # Without its __init__, which takes no MISSING: that must come from a flag.
    configured = object.__new__(options)
    vars(configured).update(values | read_config(source, options))
    return configured


def _describe(options: type, example: str, notes: str) -> str:
    parts = [inspect.getdoc(options), notes, f"example:\n  {example}"]
    return "\n\n".join(filter(None, parts))


def _lists_joined(options: type, arguments: list[str]) -> list[str]:
    """Move what follows a list's flag that is given again to where it stood first.

    Otherwise the last one alone would count.
    """
    lists = _list_flags(options)
    groups: list[list[str]] = []
    first: dict[str, list[str]] = {}
    current: list[str] | None = None  # the list that further words belong to
    for word in arguments:
        name, equals, value = word.partition("=")
        flag = name.replace("_", "-")
        if flag in first:
            current = None if equals else first[flag]
            if equals:
                _add(first[flag], value)
        elif current is not None and not word.startswith("--"):
            _add(current, word)
        else:
            groups.append([word])
            current = None
            if flag in lists:
                first[flag] = groups[-1]
                current = None if equals else groups[-1]
    return list(itertools.chain(*groups))


def _add(group: list[str], value: str) -> None:
    if "=" in group[0]:
        group[0] += f",{value}"
    else:
        group.append(value)


def _list_flags(options: type) -> set[str]:
    """Return the flags that take any number of values."""
    hints = typing.get_type_hints(options, include_extras=True)
    return {
        f"--{name.replace('_', '-')}"
        for name, hint in hints.items()
        for part in getattr(hint, "__metadata__", ())
        if getattr(part, "nargs", None) == "*"
    }


def _value_of(flag: str, arguments: list[str]) -> str | None:
    found = None
    for argument, following in itertools.zip_longest(arguments, arguments[1:]):
        if argument == flag:
            found = following
        elif argument.startswith(f"{flag}="):
            found = argument.removeprefix(f"{flag}=")
    return found


def _first_words(box: str) -> str:
    """Return the message inside tyro's box, without its frame and its help text."""
    lines = [line.strip("│ ") for line in box.splitlines()]
    # Where the encoding has no box characters, the title is a part of its own.
    title = 0 if lines and lines[0].startswith("╭") else 1
    lines = [line for line in lines if line and line[0] not in "╭╰"]
    parts = _split(lines) or [[]]
    text = " ".join(parts[min(title, len(parts) - 1)])
    if "Perhaps you meant:" in lines:
        flag = lines[lines.index("Perhaps you meant:") + 1].split()[0]
        text += f"; did you mean {flag}?"
    return text or "the arguments make no sense"


def _split(lines: list[str]) -> list[list[str]]:
    """Split lines at rules, which are rows of dashes alone."""
    groups = itertools.groupby(lines, key=lambda line: not set(line) - set("─-"))
    return [list(group) for is_rule, group in groups if not is_rule]

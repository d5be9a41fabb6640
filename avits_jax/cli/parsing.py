"""Flags to options: tyro, with defaults from a config file and one-line errors."""

import contextlib
import dataclasses
import io
import itertools
import math
import re
import shlex
from collections.abc import Collection, Sequence
from typing import Any, TypeVar

import tyro

from avits_jax.catalogue.records import nearest
from avits_jax.cli.config import read_config
from avits_jax.cli.errors import CliError
from avits_jax.cli.flags import Flag, flags_of

T = TypeVar("T")
_PLAINLY = {
    r"invalid literal for int\(\) with base 10:": "must be a whole number, got",
    r"could not convert string to float:": "must be a number, got",
}
_TAKES = {"switch": 0, "value": 1, "list": math.inf}  # words that follow a flag


def parse(options: type[T], prog: str, arguments: list[str]) -> T:
    """Parse ``arguments`` into a dataclass of options.

    A ``config`` field makes ``--config FILE`` supply defaults that flags override. A
    flag of a list that is given again adds to the list.

    Args:
        options: the dataclass.
        prog: the program and command, for messages.
        arguments: what follows them.

    Raises:
        CliError: an argument or the config file is not as it should be.
    """
    flags = flags_of(options)
    _check_words(flags, prog, arguments)
    _check_given(flags, prog, arguments)
    lists = {flag.written for flag in flags if flag.kind == "list"}
    arguments = _lists_joined(lists, arguments)
    default = _configured(options, arguments)
    printed = io.StringIO()
    try:
        with contextlib.redirect_stderr(printed):
            return tyro.cli(
                options, prog=prog, args=arguments, default=default, add_help=False
            )
    except SystemExit:
        raise CliError(_first_words(printed.getvalue(), prog)) from None


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


def _check_words(flags: Sequence[Flag], prog: str, arguments: Sequence[str]) -> None:
    """Raise CliError for a flag that is unknown, and for a prompt without quotes."""
    places = [flag for flag in flags if flag.kind == "positional"]
    words = _placed(flags, prog, arguments)
    switch = _switch_before(words, flags, arguments)
    if len(words) > len(places) and switch:
        raise CliError(f"{switch} takes no value, got {words[-1]!r}; see {prog} --help")
    if [flag.name for flag in places] == ["prompt"] and len(words) > 1:
        prompt = " ".join(words)
        said = shlex.quote(prompt) if '"' in prompt else f'"{prompt}"'
        raise CliError(
            f"the prompt is {len(words)} arguments; quote the prompt: {prog} {said}"
        )


def _check_given(flags: Sequence[Flag], prog: str, arguments: Sequence[str]) -> None:
    """Raise CliError for a flag that must be given; a config file may give it."""
    given = {word.partition("=")[0].replace("_", "-") for word in arguments}
    for flag in flags:
        needed = flag.kind != "positional" and flag.default is None
        if needed and not given & {flag.written, "--config"}:
            raise CliError(
                f"{flag.written} {flag.metavar} is missing; see {prog} --help"
            )


def _switch_before(
    words: Sequence[str], flags: Sequence[Flag], arguments: Sequence[str]
) -> str:
    """Return the switch that the last word follows, or ""."""
    if len(words) < 2:
        return ""
    place = len(arguments) - 1 - arguments[::-1].index(words[-1])
    before = arguments[place - 1]
    switches = {flag.written for flag in flags if flag.kind == "switch"}
    return before if before.replace("_", "-") in switches else ""


def _placed(flags: Sequence[Flag], prog: str, arguments: Sequence[str]) -> list[str]:
    """Return the words that follow no flag.

    Raises:
        CliError: a flag is unknown.
    """
    kinds = {flag.written: flag.kind for flag in flags if flag.kind != "positional"}
    off = {f"--no-{name[2:]}": k for name, k in kinds.items() if k == "switch"}
    found: list[str] = []
    taken = 0.0  # words that the last flag may still take
    for word in arguments:
        if word.startswith("--"):
            name, equals, _ = word.partition("=")
            kind = (kinds | off).get(name.replace("_", "-"))
            if kind is None:
                hint = nearest(name, kinds) or f"; see {prog} --help"
                raise CliError(f"unknown option {name!r}{hint}")
            taken = 0 if equals else _TAKES[kind]
        elif taken:
            taken -= 1
        else:
            found.append(word)
    return found


def _lists_joined(lists: Collection[str], arguments: list[str]) -> list[str]:
    """Move what follows a list's flag that is given again to where it stood first.

    Otherwise the last one alone would count.
    """
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


def _value_of(flag: str, arguments: list[str]) -> str | None:
    found = None
    for argument, following in itertools.zip_longest(arguments, arguments[1:]):
        if argument == flag:
            found = following
        elif argument.startswith(f"{flag}="):
            found = argument.removeprefix(f"{flag}=")
    return found


def _first_words(box: str, prog: str) -> str:
    """Return the message inside tyro's box, without its frame, and what to do."""
    lines = [line.strip("│ ") for line in box.splitlines()]
    # Where the encoding has no box characters, the title is a part of its own.
    title = 0 if lines and lines[0].startswith("╭") else 1
    lines = [line for line in lines if line and line[0] not in "╭╰"]
    parts = _split(lines) or [[]]
    text = " ".join(parts[min(title, len(parts) - 1)]) or "the arguments make no sense"
    for pattern, said in _PLAINLY.items():
        text = re.sub(pattern, said, text)
    return f"{text}; see {prog} --help"


def _split(lines: list[str]) -> list[list[str]]:
    """Split lines at rules, which are rows of dashes alone."""
    groups = itertools.groupby(lines, key=lambda line: not set(line) - set("─-"))
    return [list(group) for is_rule, group in groups if not is_rule]

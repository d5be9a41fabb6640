"""The help of a command: its flags in groups, by search, aggregator and model.

Parsing knows no groups: options are one flat dataclass, as config.toml is flat.
"""

import inspect
from collections.abc import Collection, Mapping, Sequence

from avits_jax.cli import options as known
from avits_jax.cli.aggregator_flags import AGGREGATOR_FLAGS
from avits_jax.cli.flags import Flag, flags_of
from avits_jax.cli.policy_flags import POLICY_FLAGS
from avits_jax.cli.wrapping import entry, paragraphs, terminal_width, wrapped

_PLACE = 28  # column at which texts begin
_ARGUMENTS, _OPTIONS = "arguments", "options"
# What several commands share, in the order of the help.
_SHARED: dict[type, str] = {
    known.SearchOptions: "candidates",
    known.JuryOptions: "verifiers and aggregator",
    known.PolicyOptions: "search",
    known.ModelOptions: "model",
    known.MeshOptions: "devices",
    known.DeviceOptions: "hosts",
}
# Flag that chooses, and the flags that each choice has.
_CHOICES: dict[type, tuple[str, Mapping[str, Collection[str]]]] = {
    known.JuryOptions: ("aggregator", AGGREGATOR_FLAGS),
    known.PolicyOptions: ("search", POLICY_FLAGS),
}


def asks_for_help(arguments: Sequence[str]) -> bool:
    """Tell whether the help of a command is asked for."""
    return "-h" in arguments or "--help" in arguments


def print_help(options: type, prog: str, example: str, notes: str = "") -> None:
    """Print what a command does, its arguments and flags, and an example.

    Args:
        options: the dataclass of the command's options.
        prog: the program and command.
        example: a command line.
        notes: stands after the description.
    """
    width, flags = terminal_width(), flags_of(options)
    parts = [
        wrapped(_usage(prog, flags), width, further="  "),
        paragraphs(inspect.getdoc(options) or "", width),
        paragraphs(notes, width),
        *_groups(options, flags, width),
        wrapped(_switches(flags), width),
        f"example:\n  {example}",
    ]
    print("\n\n".join(filter(None, parts)))


def _usage(prog: str, flags: Sequence[Flag]) -> str:
    given = [flag.metavar for flag in flags if flag.kind == "positional"]
    needed = [
        f"{flag.written} {flag.metavar}"
        for flag in flags
        if flag.kind != "positional" and flag.default is None
    ]
    return " ".join(["usage:", prog, *given, *needed, "[OPTIONS]"])


def _groups(options: type, flags: Sequence[Flag], width: int) -> list[str]:
    texts = _texts(options)
    groups: dict[str, list[str]] = {title: [] for title in _titles()}
    for flag in flags:
        line = entry(_invocation(flag), _text(flag, texts[flag.name]), _PLACE, width)
        groups[_title(flag)].append(line)
    groups[_OPTIONS].append(entry("  -h, --help", "Show this help.", _PLACE, width))
    return [
        "\n".join([f"{title}:", *lines]) for title, lines in groups.items() if lines
    ]


def _titles() -> list[str]:
    """Return the groups in order; what belongs to one search is below all searches."""
    titles = [_ARGUMENTS, _OPTIONS]
    for owner, title in _SHARED.items():
        choice, table = _CHOICES.get(owner, ("", {}))
        titles += [title, *(_with(choice, name) for name in table)]
    return titles


def _title(flag: Flag) -> str:
    if flag.kind == "positional":
        return _ARGUMENTS
    choice, table = _CHOICES.get(flag.owner, ("", {}))
    for name, own in table.items():
        if flag.name in own:
            return _with(choice, name)
    return _SHARED.get(flag.owner, _OPTIONS)


def _with(choice: str, name: str) -> str:
    return f"with --{choice} {name}"


def _invocation(flag: Flag) -> str:
    if flag.kind == "positional":
        return f"  {flag.metavar}"
    if flag.kind == "switch":
        # One that is on is turned off, and the other way round.
        off = f" / --no-{flag.written[2:]}" if flag.default else ""
        return f"  {flag.written}{off}"
    return f"  {flag.written} {flag.metavar}"


def _text(flag: Flag, text: str) -> str:
    if flag.default is None:
        return f"{text} (required)"
    return f"{text} (default: {flag.default})" if flag.default else text


def _texts(options: type) -> dict[str, str]:
    """Return what stands below each field of a class and its parents."""
    from docstring_parser import parse_from_object

    return {
        part.arg_name: part.description or ""
        for owner in options.__mro__[:-1]
        for part in parse_from_object(owner).params
    }


def _switches(flags: Sequence[Flag]) -> str:
    """Say how a switch that a config file turns on is turned off."""
    names = [flag.name for flag in flags]
    switch = next((f for f in flags if f.kind == "switch" and not f.default), None)
    if "config" not in names or switch is None:
        return ""
    return (
        "Flags override --config. A switch that it turns on is turned off by --no- and "
        f"its name: --no-{switch.written[2:]}."
    )

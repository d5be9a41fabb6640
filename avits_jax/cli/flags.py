"""What a dataclass of options says of each of its flags."""

import dataclasses
import typing
from pathlib import Path
from typing import Any, Literal, NamedTuple

import tyro

_METAVARS = {int: "INT", float: "FLOAT", str: "NAME", Path: "PATH"}


class Flag(NamedTuple):
    """One field of a command's options.

    Attributes:
        name: of the field.
        kind: how many words follow it: none, one or a list; or it is given by its
            place.
        metavar: what follows it, or names its place.
        default: what it is where it is not given, in words; "" for nothing, None for
            a flag that must be given.
        owner: the class that has the field.
    """

    name: str
    kind: Literal["switch", "value", "list", "positional"]
    metavar: str
    default: str | None
    owner: type

    @property
    def written(self) -> str:
        """Return it as on the command line."""
        return f"--{self.name.replace('_', '-')}"


def flags_of(options: type) -> list[Flag]:
    """Return the flags of a dataclass, in order."""
    hints = typing.get_type_hints(options, include_extras=True)
    return [_flag(field, hints[field.name], options) for field in _fields(options)]


def _fields(options: Any) -> tuple[Any, ...]:
    return dataclasses.fields(options)


def _flag(field: Any, hint: Any, options: type) -> Flag:
    marks = getattr(hint, "__metadata__", ())
    named = (getattr(mark, "metavar", None) for mark in marks)
    metavar = next(filter(None, named), _METAVARS.get(hint, ""))
    owner = next(c for c in options.__mro__ if field.name in vars(c)["__annotations__"])
    return Flag(field.name, _kind(hint, marks), metavar, _default(field, marks), owner)


def _kind(hint: Any, marks: Any) -> Literal["switch", "value", "list", "positional"]:
    if tyro.conf.Positional in marks:
        return "positional"
    if hint is bool:
        return "switch"
    listed = any(getattr(mark, "nargs", None) == "*" for mark in marks)
    return "list" if listed else "value"


def _default(field: Any, marks: Any) -> str | None:
    value = field.default
    if value is dataclasses.MISSING:
        return None
    if isinstance(value, bool):
        return f"--{field.name.replace('_', '-')}" if value else ""
    for mark in marks:
        if isinstance(mark, tyro.constructors.PrimitiveConstructorSpec):
            return " ".join(mark.str_from_instance(value))
    return "" if value == () else str(value)

"""A model's own options, as ``--set NAME=VALUE`` and flags of their own give them."""

import contextlib
import re
import types
import typing
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from avits_jax.catalogue.records import nearest
from avits_jax.cli.errors import CliError
from avits_jax.cli.options import ModelOptions

if TYPE_CHECKING:
    from avits_jax.generators import Option

STEPS = "num_steps"
# Options that many models have, and so have flags of their own.
_FLAGS = {
    "steps": STEPS,
    "guidance_scale": "guidance_scale",
    "resolution": "resolution",
    "aspect_ratio": "aspect_ratio",
    "duration": "duration",
    "preview_decoder": "preview_decoder",
}
_NEXT = re.compile(r",(?=[\s,]*[\w-]+\s*=)")
_EMPTY = ('""', "''")
_SWITCH = {"true": True, "false": False}
_KINDS = {int: "an integer", float: "a number", bool: "true or false", str: "text"}


def read_assignments(texts: Sequence[str]) -> dict[str, str]:
    """Read ``NAME=VALUE``, or several after commas; of one name the last value counts.

    A comma that no name follows belongs to the value; two quotes are an empty text.

    Raises:
        CliError: a name or a value is missing.
    """
    found = {}
    parts = (part for text in texts for part in _NEXT.split(text.strip(" ,")))
    for part in filter(None, parts):
        name, _, value = (each.strip() for each in part.partition("="))
        if not (name and value):
            raise CliError(f"--set must be NAME=VALUE, got {part!r}")
        found[name.replace("-", "_")] = value
    return found


def write_assignments(texts: Sequence[str]) -> tuple[str, ...]:
    """Return the same assignments in one way of writing, so that they compare."""
    return tuple(f"{k}={v}" for k, v in sorted(read_assignments(texts).items()))


def model_options(
    options: ModelOptions, model: str, known: Mapping[str, "Option"]
) -> dict[str, Any]:
    """Return the options that a model is loaded with.

    Args:
        options: flags and assignments.
        model: its name, for messages.
        known: its own options, see `avits_jax.generators.options`.

    Raises:
        CliError: the model has no such option, an option is given twice, or a value is
            not of its kind.
    """
    flags = {name: getattr(options, flag) for flag, name in _FLAGS.items()}
    found = {
        name: value
        for name, value in flags.items()
        if value is not None and value is not False  # a switch that is off
    }
    own, said = read_assignments(options.set), _written(options)
    for name, text in own.items():
        if name in found:
            raise CliError(f"{_flag(name)} and {said[name]} are the same option")
        found[name] = text
    for name, value in found.items():
        if name not in known:
            raise CliError(
                f"{said[name]}: {model} has no option {name!r} "
                f"(it has: {', '.join(known) or 'none'}){nearest(name, known)}"
            )
        if isinstance(value, str):
            found[name] = _converted(value, known[name].kind, said[name])
    return found


@contextlib.contextmanager
def naming_flags(options: ModelOptions) -> Iterator[None]:
    """Let a ValueError that begins with the name of an option begin with its flag.

    Args:
        options: flags and assignments.
    """
    try:
        yield
    except ValueError as error:
        message, written = str(error), _written(options)
        name = next(iter(re.findall(r"^\w+", message)), "")
        if name not in written:
            raise
        raise ValueError(f"{written[name]}{message[len(name) :]}") from error


def _written(options: ModelOptions) -> dict[str, str]:
    """Return how options are written on the command line, by name."""
    flags = {name: _flag(name) for name in (*_FLAGS.values(), "dtype", "refine")}
    return flags | {name: f"--set {name}" for name in read_assignments(options.set)}


def _flag(name: str) -> str:
    flag = next((flag for flag, own in _FLAGS.items() if own == name), name)
    return f"--{flag.replace('_', '-')}"


def kind_name(kind: Any) -> str:
    """Return what an annotation accepts, in words."""
    parts = (
        repr(part) if isinstance(part, str) else _KINDS.get(part, str(part))
        for part in _accepted(kind)
    )
    return " or ".join(parts)


def _converted(text: str, kind: Any, subject: str) -> Any:
    """Return a value as written, as its option's annotation wants it."""
    for accepted in _accepted(kind):
        if accepted is bool and text.lower() in _SWITCH:
            return _SWITCH[text.lower()]
        if accepted in (int, float):
            try:
                return accepted(text)
            except ValueError:
                continue
        if accepted is str and text in _EMPTY:
            return ""
        if accepted is str or accepted == text:
            return text
    raise CliError(f"{subject} must be {kind_name(kind)}, got {text!r}")


def _accepted(kind: Any) -> list[Any]:
    """Return types and words that an annotation accepts, but None; text is last."""
    if typing.get_origin(kind) is typing.Literal:
        return list(typing.get_args(kind))
    if typing.get_origin(kind) in (typing.Union, types.UnionType):
        parts = [part for each in typing.get_args(kind) for part in _accepted(each)]
        return sorted(parts, key=lambda part: part is str)
    return [] if kind is type(None) else [kind]

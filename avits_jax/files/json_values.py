"""JSON that others may have changed: parsed strictly, checked field by field."""

import json
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

_FLOAT32_MAX = 3.4028235e38  # as it is written with the fewest digits
_MAX_WHOLE = 2**53  # the largest that every JSON reader keeps exact
_MAX_DEPTH = 64


class Kind(NamedTuple):
    """What a JSON value may be.

    Attributes:
        words: for messages.
        accepts: tells whether a value is of this kind.
    """

    words: str
    accepts: Callable[[Any], bool]


def whole(low: int = 0, high: int = _MAX_WHOLE) -> Kind:
    """Return the kind of whole numbers from ``low`` to ``high``."""

    def accepts(value: Any) -> bool:
        return type(value) is int and low <= value <= high

    return Kind(f"a whole number from {low} to {high}", accepts)


def optional(kind: Kind) -> Kind:
    """Return a kind that null is of, too."""
    return Kind(f"{kind.words} or null", lambda v: v is None or kind.accepts(v))


def list_of(kind: Kind) -> Kind:
    """Return the kind of lists whose every entry is of ``kind``."""

    def accepts(value: Any) -> bool:
        return isinstance(value, list) and all(map(kind.accepts, value))

    return Kind(f"a list of {kind.words}", accepts)


def _is_number(value: Any) -> bool:
    # NaN compares as False; whole numbers of any size can be compared.
    return type(value) in (int, float) and -_FLOAT32_MAX <= value <= _FLOAT32_MAX


TEXT = Kind("text", lambda value: isinstance(value, str))
SWITCH = Kind("true or false", lambda value: isinstance(value, bool))
NUMBER = Kind("a finite float32 number", _is_number)
OBJECT = Kind("an object", lambda value: isinstance(value, dict))


def parse_json(data: str | bytes) -> Any:
    """Parse JSON in which no key stands twice.

    Args:
        data: one value; bytes must be UTF-8.

    Raises:
        ValueError: it is no such JSON, is nested too deeply, or holds a number of
            thousands of digits.
    """
    text = data.decode("utf-8") if isinstance(data, bytes) else data
    try:
        value = json.loads(text, object_pairs_hook=_unique)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    if _is_deep(value):
        raise ValueError(f"it is nested deeper than {_MAX_DEPTH} levels")
    return value


def check_fields(part: Any, fields: Mapping[str, Kind], where: str = "") -> None:
    """Check the fields of a JSON object; others may be there, too.

    Args:
        part: the object.
        fields: what they must be, by name.
        where: stands before every message.

    Raises:
        ValueError: ``part`` is no object, or a field is missing or of another kind.
    """
    if not isinstance(part, dict):
        raise ValueError(f"has a wrong value: {where}expected an object")
    for name, kind in fields.items():
        if name not in part:
            raise ValueError(f"lacks a value: {where}{name!r} is missing")
        if not kind.accepts(part[name]):
            raise ValueError(
                f"has a wrong value: {where}{name!r} is {_found(part[name])}, "
                f"must be {kind.words}"
            )


def _found(value: Any) -> str:
    kind = f"of type {type(value).__name__}"
    if type(value) in (int, float):
        return f"{value!r:.40} ({kind})"
    return kind


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"the key {twice!r} stands twice")
    return found


def _is_deep(value: Any) -> bool:
    level = [value]
    for _ in range(_MAX_DEPTH):
        level = [child for part in level for child in _children(part)]
        if not level:
            return False
    return True


def _children(part: Any) -> list[Any]:
    if isinstance(part, dict):
        return list(part.values())
    return part if isinstance(part, list) else []

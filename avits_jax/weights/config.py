"""Sizes of networks as JSON: nested frozen dataclasses to plain values and back."""

import dataclasses
import types
from collections.abc import Mapping
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

Config = TypeVar("Config")

# Sizes of a checkpoint may differ from the published ones: reduced, or somewhat larger.
_LARGER = 4
_SMALL, _SHORT = 32, 8  # numbers and lists that are accepted in any case


def config_values(config: Any) -> dict[str, Any]:
    """Return a configuration's plain values, nested like it; tuples become lists.

    Example:
        >>> config_values(EncoderConfig(8, 2, 2))
        {'width': 8, 'depth': 2, 'heads': 2, 'extra_key': False}
    """
    return {
        field.name: _plain(getattr(config, field.name))
        for field in dataclasses.fields(config)
    }


def config_from(kind: type[Config], values: Mapping[str, Any]) -> Config:
    """Build a configuration from plain values; what they leave out keeps its default.

    Args:
        kind: a dataclass, its fields numbers, strings, tuples or dataclasses.
        values: by field name, as `config_values` gives them.

    Raises:
        ValueError: a field is unknown, required and missing, or of the wrong type.
    """
    return _built(kind, values, kind.__name__)


def check_sizes(config: Any, published: Any, name: str = "") -> None:
    """Refuse sizes that nobody means: building the network would take long, or fail.

    A size is a whole number from 1 (0 where the published one is 0) to four times the
    published one or 32, whichever is larger; one below 0 has no other sign. Other
    numbers lie above 0 and below the same bound; lists have at most twice the published
    length, or 8.

    Args:
        config: sizes, as `config_from` makes them.
        published: those of the published network, of the same dataclass.
        name: of the field, for the message; "" for that of the dataclass.

    Raises:
        ValueError: a size is out of its range; the message names it.
    """
    name = name or type(config).__name__
    if dataclasses.is_dataclass(config):
        for field in dataclasses.fields(config):
            own, usual = (getattr(each, field.name) for each in (config, published))
            check_sizes(own, usual, f"{name}.{field.name}")
    elif isinstance(config, tuple):
        _check_length(config, published, name)
        for i, each in enumerate(config):
            usual = published[min(i, len(published) - 1)]
            check_sizes(each, usual, f"{name}[{i}]")
    elif type(config) in (int, float):
        low, high = _accepted(published)
        real = type(config) is float
        if not ((0 < config if real else low <= config) and config <= high):
            least = "above 0" if real else low
            raise ValueError(f"{name} must be {least} to {high}, got {config!r:.40}")


def check_divides(config: Any, part: str, whole: str) -> None:
    """Refuse a configuration one of whose sizes does not divide another.

    Args:
        config: a dataclass of sizes.
        part: field of the divisor, such as a number of heads.
        whole: field of what it divides.

    Raises:
        ValueError: it does not; the message names both.
    """
    divisor, size = getattr(config, part), getattr(config, whole)
    if divisor < 1 or size % divisor:
        raise ValueError(f"{part} must divide {whole} {size}, got {divisor}")


def _check_length(values: tuple, published: tuple, name: str) -> None:
    most = max(_SHORT, 2 * len(published))
    if not 1 <= len(values) <= most:
        raise ValueError(f"{name} must have 1 to {most} entries, got {len(values)}")


def _accepted(published: int | float) -> tuple[int | float, int | float]:
    """Return the least and the largest number that is accepted for a published one."""
    if published < 0:
        return _LARGER * published, -1
    return int(published > 0), max(_SMALL, _LARGER * published)


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value):
        return config_values(value)
    return [_plain(each) for each in value] if isinstance(value, tuple) else value


def _built(kind: Any, value: Any, name: str) -> Any:
    if dataclasses.is_dataclass(kind):
        return _built_dataclass(kind, value, name)
    if get_origin(kind) is types.UnionType and value is None:
        return None
    if get_origin(kind) is tuple and isinstance(value, list | tuple):
        inner = get_args(kind)
        count = len(value) if inner[-1] is Ellipsis else len(inner)
        kinds = [inner[0]] * count if inner[-1] is Ellipsis else inner
        if len(value) == count:
            pairs = zip(kinds, value, strict=True)
            return tuple(_built(each, part, name) for each, part in pairs)
    if kind is float and type(value) is int and abs(value) <= 2**53:
        return float(value)
    if isinstance(kind, type) and type(value) is kind:
        return value
    wanted = getattr(kind, "__name__", kind)
    raise ValueError(f"{name} must be {wanted}, got {value!r:.100}")


def _built_dataclass(kind: Any, values: Any, name: str) -> Any:
    if not isinstance(values, Mapping):
        raise ValueError(f"{name} must be an object of sizes, got {values!r:.100}")
    hints = get_type_hints(kind)
    unknown = sorted(values.keys() - hints.keys())
    if unknown:
        known = ", ".join(hints)
        raise ValueError(f"{name} has no {unknown[0]!r:.100} (it has: {known})")
    built = {key: _built(hints[key], v, f"{name}.{key}") for key, v in values.items()}
    try:
        return kind(**built)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{name}: {error}") from None

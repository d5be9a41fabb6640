"""Sizes of networks as JSON: nested frozen dataclasses to plain values and back."""

import dataclasses
import types
from collections.abc import Mapping
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

Config = TypeVar("Config")


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
    if kind is float and type(value) is int:
        return float(value)
    if isinstance(kind, type) and type(value) is kind:
        return value
    raise ValueError(f"{name} must be {getattr(kind, '__name__', kind)}, got {value!r}")


def _built_dataclass(kind: Any, values: Any, name: str) -> Any:
    if not isinstance(values, Mapping):
        raise ValueError(f"{name} must be an object of sizes, got {values!r}")
    hints = get_type_hints(kind)
    unknown = sorted(values.keys() - hints.keys())
    if unknown:
        raise ValueError(f"{name} has no {unknown[0]!r} (it has: {', '.join(hints)})")
    built = {key: _built(hints[key], v, f"{name}.{key}") for key, v in values.items()}
    try:
        return kind(**built)
    except TypeError as error:
        raise ValueError(f"{name}: {error}") from None

"""Settings as a person reads them."""

from collections.abc import Mapping
from typing import Any

_NAMES = {"set": "model options", "avits_jax": "avits_jax"}


def in_words(settings: Mapping[str, Any]) -> dict[str, str]:
    """Return names and values in words; what was not set is left out.

    Args:
        settings: JSON values by name.
    """
    return {
        _NAMES.get(name, name.replace("_", " ")): _value(value)
        for name, value in settings.items()
        if value is not None and value != [] and value != {}
    }


def _value(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return ", ".join(map(_value, value))
    if isinstance(value, dict):
        return ", ".join(f"{key} {_value(entry)}" for key, entry in value.items())
    return f"{value:g}" if isinstance(value, float) else str(value)

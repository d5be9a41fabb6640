"""Config files: TOML with the names of the flags."""

import dataclasses
import json
import tomllib
import types
import typing
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from avits_jax.catalogue.records import nearest
from avits_jax.cli.errors import CliError
from avits_jax.files.resources import data_folder


def presets() -> list[str]:
    """Return the names of the shipped presets."""
    return sorted(path.stem for path in data_folder("configs").glob("*.toml"))


def read_config(source: str, options: type) -> dict[str, Any]:
    """Read defaults for ``options`` from a TOML file or a shipped preset.

    Args:
        source: path of a file, or the bare name of a preset ("mini-fast").
        options: dataclass whose fields may be set; dashes stand for underscores.

    Returns:
        Values by field name.

    Raises:
        CliError: no such file, not TOML, a key that is unknown or stands twice, or a
            value of a wrong type.
    """
    path = _find(source)
    try:
        # Some editors begin a file with a byte order mark.
        table = tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except (OSError, UnicodeDecodeError) as error:
        raise CliError(f"config file {path} cannot be read: {error}") from error
    except ValueError as error:
        raise CliError(f"config file {path} is not TOML: {error}") from error
    except RecursionError:
        raise CliError(f"config file {path} is nested too deeply") from None
    hints = typing.get_type_hints(options)
    hints.pop("config", None)
    values = {}
    for key, value in table.items():
        name = key.replace("-", "_")
        if name not in hints:
            raise CliError(f"unknown key {key!r} in {path}{nearest(name, hints)}")
        if name in values:
            raise CliError(f"{path} sets {name!r} twice, with dashes and underscores")
        values[name] = convert(value, hints[name], f"{key} in {path}")
    return values


def convert(value: Any, hint: Any, where: str) -> Any:
    """Return a value of TOML or JSON as the field's type.

    Args:
        value: what was read.
        hint: annotation of the field.
        where: names the value, for the error.

    Raises:
        CliError: it is of another type.
    """
    kinds = [kind for kind in _alternatives(hint) if kind is not type(None)]
    for kind in kinds:
        if kind == tuple[str, ...] and isinstance(value, dict):  # [set]
            return tuple(f"{name}={_written(entry)}" for name, entry in value.items())
        if typing.get_origin(kind) is tuple and isinstance(value, list):
            item = typing.get_args(kind)[0]
            return tuple(convert(entry, item, where) for entry in value)
        if kind is float and isinstance(value, int) and not isinstance(value, bool):
            return float(value)
        if kind is Path and isinstance(value, str):
            return Path(value)
        if type(value) is kind:
            return value
    accepted = " or ".join(_kind_name(kind) for kind in kinds)
    raise CliError(f"{where} must be {accepted}, got {value!r}")


def write_config(values: Mapping[str, Any]) -> str:
    """Return ``values`` as TOML; None is left out, since TOML has no null."""
    lines = [f"{key} = {_toml(v)}" for key, v in values.items() if v is not None]
    return "\n".join(lines) + "\n"


def set_fields(options: Any, without: tuple[str, ...] = ()) -> dict[str, Any]:
    """Return the fields of a dataclass as JSON values, but for those in ``without``."""
    return {
        field.name: _plain(getattr(options, field.name))
        for field in dataclasses.fields(options)
        if field.name not in without
    }


def _find(source: str) -> Path:
    path = Path(source)
    if path.is_file():
        return path
    preset = data_folder("configs") / f"{source}.toml"
    if source in presets():
        return preset
    raise CliError(
        f"config {source!r} is neither a file nor a preset "
        f"(presets: {', '.join(presets())}){nearest(source, presets())}"
    )


def _written(value: Any) -> str:
    """Return a value of a table as it is written on the command line."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def _alternatives(hint: Any) -> tuple[Any, ...]:
    if typing.get_origin(hint) is typing.Annotated:
        hint = typing.get_args(hint)[0]
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        return typing.get_args(hint)
    return (hint,)


def _kind_name(kind: Any) -> str:
    if typing.get_origin(kind) is tuple:
        return f"a list of {_kind_name(typing.get_args(kind)[0])}"
    names = {int: "an integer", float: "a number", bool: "true or false"}
    return names.get(kind, "text")


def _plain(value: Any) -> Any:
    if isinstance(value, tuple):
        return [_plain(entry) for entry in value]
    return str(value) if isinstance(value, Path) else value


def _toml(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return repr(value)
    if isinstance(value, list):
        return f"[{', '.join(_toml(entry) for entry in value)}]"
    # JSON strings are TOML strings, but for DEL, which TOML wants escaped.
    return json.dumps(str(value), ensure_ascii=False).replace("\x7f", "\\u007f")

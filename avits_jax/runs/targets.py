"""Whether a run can be written where it shall be: to a new folder, or its own."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from avits_jax.runs.clips import CLIPS
from avits_jax.runs.stored import RUN_FILE, is_run

RUN = "run"


def check_target(path: Path) -> None:
    """Raise ValueError if something else than a run is at ``path``."""
    if path.exists() and not path.is_dir():
        raise ValueError(f"{path} exists and is no folder")
    if path.is_dir() and not is_run(path):
        foreign = [p.name for p in path.iterdir() if not p.name.startswith(".")]
        if set(foreign) - {CLIPS}:
            raise ValueError(
                f"{path} holds files but no {RUN_FILE}: not a run of many prompts; "
                "name a new folder"
            )


def check_same_settings(
    path: Path, made: Mapping[str, Any], facts: Mapping[str, Any]
) -> None:
    """Raise ValueError, naming every difference, if a run has other settings."""
    if made["kind"] != RUN:
        raise ValueError(f"{path} was merged from several runs; name a new folder")
    old, new = made["settings"], facts["settings"]
    different = [
        f"{key}: {_show(old, key)} there, {_show(new, key)} now"
        for key in dict.fromkeys([*old, *new])
        if old.get(key) != new.get(key)
    ]
    if different:
        raise ValueError(
            f"{path} is a run of other settings ({'; '.join(different)}); name a new "
            "folder, or give the same settings to go on with it"
        )
    if made["state"] != facts["state"]:
        raise ValueError(
            f"{path} cannot be resumed: its aggregator's state has another layout "
            f"({made['state']}) than this version's ({facts['state']})"
        )


def _show(settings: Mapping[str, Any], key: str) -> str:
    value = settings.get(key)
    return "default" if value is None else json.dumps(value, ensure_ascii=False)

"""What run.json says of a run: made by what, with which settings, on which machine."""

import datetime
import importlib.metadata
import platform
from collections.abc import Mapping, Sequence
from typing import Any

import jax

from avits_jax.runs import states
from avits_jax.types import PyTree
from avits_jax.version import __version__

_VERSIONED = ("jax", "jaxlib", "flax", "optax", "numpy", "av")


def run_facts(
    verifiers: Sequence[str],
    judges: Sequence[str],
    state: PyTree,
    settings: Mapping[str, Any],
    prompts: str,
) -> dict[str, Any]:
    """Return what `RunFolder` wants to know of a run that begins.

    Args:
        verifiers: names of those that guide.
        judges: names of those that only watch.
        state: a fresh state of the aggregator.
        settings: JSON values that decide the result; the run is resumed only with the
            same ones.
        prompts: where prompts come from, in words.
    """
    return {
        "created": now(),
        "prompts": prompts,
        "settings": dict(settings),
        "plan": {},
        "verifiers": list(verifiers),
        "judges": list(judges),
        "state": states.layout(state),
        "versions": versions(),
        "device": device(),
    }


def now() -> str:
    """Return the time in UTC, to the second (ISO 8601)."""
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")


def versions() -> dict[str, str]:
    """Return the versions of everything that a result may depend on."""
    own = {"avits_jax": __version__, "python": platform.python_version()}
    return own | {name: importlib.metadata.version(name) for name in _VERSIONED}


def device() -> str:
    """Return how many devices of which kind there are."""
    devices = jax.devices()
    kind = devices[0].device_kind
    platform_name = devices[0].platform
    name = kind if kind == platform_name else f"{kind} ({platform_name})"
    return name if len(devices) == 1 else f"{len(devices)} x {name}"

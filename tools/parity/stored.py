"""How goldens store things: plain names, and arrays thinned by a stride."""

import re
from collections.abc import Mapping
from typing import Any

from tools.parity.checks import Expect
from tools.parity.golden import Golden


def against(golden: Golden, results: Mapping[str, Any]) -> dict[str, Expect]:
    """Compare each result with the array of its name at the golden's tolerance."""
    return {name: Expect(x, golden.arrays[name]) for name, x in results.items()}


def named(arrays: Mapping[str, Any], prefix: str) -> str:
    """The only name that starts with ``prefix``; sizes may follow it.

    Raises:
        KeyError: there is none, or several.
    """
    names = [name for name in arrays if name.startswith(prefix)]
    if len(names) != 1:
        raise KeyError(f"one array {prefix}* expected, got {names}")
    return names[0]


def stated_stride(name: str) -> int:
    """Stride that a name ends with: 4 of ``frame_sub4``, 1 of ``frame``."""
    found = re.search(r"_sub(\d+)$", name)
    return int(found[1]) if found else 1


def found_stride(whole: int, stored: int) -> int:
    """Stride at which ``stored`` entries stand for ``whole`` ones."""
    return -(-whole // stored)

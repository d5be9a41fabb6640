"""Goldens whose outputs are stored under their plain names."""

from collections.abc import Mapping
from typing import Any

from tools.parity.checks import Expect
from tools.parity.golden import Golden


def against(golden: Golden, results: Mapping[str, Any]) -> dict[str, Expect]:
    """Compare each result with the array of its name at the golden's tolerance."""
    return {name: Expect(x, golden.arrays[name]) for name, x in results.items()}

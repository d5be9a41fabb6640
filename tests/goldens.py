"""Goldens under tests/golden, run by the same runners as tools/check_parity.py."""

import sys
from pathlib import Path

import jax
import pytest

_TESTS = Path(__file__).resolve().parent
sys.path.insert(0, str(_TESTS.parent))

from tools.parity.golden import Golden, find_goldens  # noqa: E402
from tools.parity.registry import load_runners, run_golden  # noqa: E402


def golden_cases(area: str, prefix: str = "") -> list:
    """Parameters for ``pytest.mark.parametrize``: goldens of tests/golden/``area``."""
    found = find_goldens(_TESTS / "golden" / area)
    return [
        pytest.param(golden, id=golden.name)
        for golden in found
        if golden.name.startswith(prefix)
    ]


def assert_golden(golden: Golden) -> None:
    """Every output of the golden is within its tolerance."""
    load_runners()
    with jax.default_matmul_precision("highest"):
        checks = run_golden(golden)
    failed = [check for check in checks if not check.passed]
    assert not failed, f"{golden.name}: {failed}"

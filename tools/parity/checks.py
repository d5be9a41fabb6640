"""What a case runner hands back, and how it is compared."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from tools.parity.golden import Golden


class Expect(NamedTuple):
    """A result with an expectation of its own, where the golden's default does not fit.

    Attributes:
        actual: what was computed.
        expected: what it must be; None takes the golden's output of that name.
        atol: largest absolute difference; None takes the golden's tolerance.
        rtol: largest difference relative to the expected value, added to ``atol``.
    """

    actual: Any
    expected: Any = None
    atol: float | None = None
    rtol: float = 0.0


class Check(NamedTuple):
    """Outcome of one comparison.

    Attributes:
        output: name of the output.
        error: largest absolute difference; infinite where shapes or NaNs disagree.
        ratio: largest difference over what is allowed; at most 1 passes.
        note: what went wrong beside numbers.
    """

    output: str
    error: float
    ratio: float
    note: str = ""

    @property
    def passed(self) -> bool:
        """True within the tolerance."""
        return self.ratio <= 1.0


def default_tolerance(golden: Golden, output: str) -> tuple[float, float]:
    """Absolute and relative tolerance that the golden states for an output."""
    stated = golden.info.get("tolerance")
    if stated is None:
        stated = golden.info["tol_float32"]
        return float(stated["abs"]), float(stated.get("rel", 0.0))
    per_output = stated.get("per_output_atol", {})
    if output in per_output:
        return float(per_output[output]), 0.0
    return float(stated["atol"]), float(stated["rtol"])


def compare(output: str, actual, expected, atol: float, rtol: float) -> Check:
    """Largest difference between two arrays, absolute and against what is allowed."""
    actual, expected = np.asarray(actual), np.asarray(expected)
    if actual.shape != expected.shape:
        note = f"shape {actual.shape}, expected {expected.shape}"
        return Check(output, np.inf, np.inf, note)
    if actual.dtype.kind in "OUS" or expected.dtype.kind in "OUS":
        same = bool(np.all(actual == expected))
        note = "" if same else f"{actual.tolist()!r}, expected {expected.tolist()!r}"
        return Check(output, 0.0 if same else np.inf, 0.0 if same else np.inf, note)
    actual, expected = actual.astype(np.float64), expected.astype(np.float64)
    with np.errstate(invalid="ignore"):
        same = (actual == expected) | (np.isnan(actual) & np.isnan(expected))
        error = np.where(same, 0.0, np.abs(actual - expected))
        allowed = atol + rtol * np.abs(expected)
        ratio = np.where(same, 0.0, error / np.where(allowed > 0, allowed, 1e-300))
    error, ratio = np.nan_to_num(error, nan=np.inf), np.nan_to_num(ratio, nan=np.inf)
    return Check(output, float(error.max(initial=0)), float(ratio.max(initial=0)))


def compare_all(golden: Golden, results: Mapping[str, Any]) -> list[Check]:
    """Compare a runner's results; an output that no result covers fails."""
    checks = [_one(golden, name, value) for name, value in results.items()]
    for name in golden.outputs:
        if name not in results:
            checks.append(Check(name, np.inf, np.inf, "not computed"))
    return checks


def _one(golden: Golden, name: str, value: Any) -> Check:
    item = value if isinstance(value, Expect) else Expect(value)
    expected = item.expected
    if expected is None:
        if name not in golden.outputs:
            return Check(name, np.inf, np.inf, "the golden has no such output")
        expected = golden.outputs[name]
    atol, rtol = item.atol, item.rtol
    if atol is None:
        atol, rtol = default_tolerance(golden, name)
    return compare(name, item.actual, expected, atol, rtol)

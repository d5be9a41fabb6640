"""Weights that a golden states by a recipe, and tolerances by short names."""

import json
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from tools.parity.checks import Expect
from tools.parity.golden import Golden

# Published keys and shapes, for goldens of full size that come without them.
_MANIFESTS = Path(__file__).resolve().parents[2] / "tests" / "golden"


def published(name: str) -> dict[str, Any]:
    """``key -> [shape, dtype]`` of a manifest kept with the tests."""
    (path,) = _MANIFESTS.glob(f"*/{name}.json")
    return json.loads(path.read_text("utf-8"))["tensors"]


def draw_state(seed: int, entries: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """State dict drawn tensor by tensor, as ``weights_recipe`` says.

    Args:
        seed: of the golden.
        entries: key -> [shape, dtype].
    """
    return {
        key: _drawn(seed, key, tuple(shape), np.dtype(dtype))
        for key, (shape, dtype) in entries.items()
    }


def _drawn(seed: int, key: str, shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
    if dtype.kind != "f":
        return np.zeros(shape, dtype)
    numbers = np.random.default_rng([seed, zlib.crc32(key.encode())])
    if key.endswith("running_var"):
        return (0.5 + numbers.random(shape)).astype(dtype)
    drawn = numbers.standard_normal(shape)
    if key.endswith("running_mean"):
        drawn = 0.2 * drawn
    elif len(shape) > 1:
        drawn = drawn * np.sqrt(2) / np.sqrt(np.prod(shape[1:]))
    else:
        drawn = 1 + 0.2 * drawn if key.endswith("weight") else 0.1 * drawn
    return drawn.astype(dtype)


def check_probe(golden: Golden, state: Mapping[str, np.ndarray]) -> dict[str, Expect]:
    """Compare the tensors that the golden probes."""
    checks = {}
    for key, probe in golden.info.get("weights_probe", {}).items():
        found = state[key]
        checks[f"{key} first"] = Expect(found.ravel()[:3], probe["first3"], 1e-6)
        total = found.astype(np.float64).sum()
        checks[f"{key} sum"] = Expect(total, probe["sum_float64"], 1e-6, 1e-9)
    return checks


def toleranced(
    golden: Golden,
    results: Mapping[str, Any],
    exact: Mapping[str, float] | None = None,
) -> dict[str, Expect]:
    """Compare stored arrays, each at the tolerance stated for its name.

    Args:
        golden: states ``tol_float32_abs`` by names, of outputs without ``out.``.
        results: by the whole name of the stored array.
        exact: tolerances of arrays that it states none for.
    """
    stated = golden.info["tol_float32_abs"]
    checks = {}
    for name, actual in results.items():
        short = name.removeprefix("out.")
        atol = (exact or {}).get(name, stated.get(short))
        checks[short] = Expect(actual, golden.arrays[name], float(atol))
    return checks

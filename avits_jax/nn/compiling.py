"""What XLA is told where it compiles for this machine's CPU.

XLA has YNNPACK multiply float32 matrices and convolve on a CPU. Eigen, which is built
in too, takes one core of an Intel processor less time for both. Several cores it shares
better in convolutions, in products now better and now worse, so that these stay with
YNNPACK there (``tools/bench_products.py``). Other processors were not measured and keep
what XLA has.
"""

import contextlib
import functools
import os
import platform
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax


def _ynnpack(*kinds: str) -> dict[str, Any]:
    """Return the option that leaves YNNPACK these kinds of operations."""
    listed = ",".join(f"LIBRARY_FUSION_TYPE_{kind}" for kind in kinds)
    return {"xla_cpu_experimental_ynn_fusion_type": listed}


# Sums along an axis stay with YNNPACK in any case. Its kind "DOT" would be products
# together with what surrounds them, which XLA does not have it do either.
EIGEN = _ynnpack("REDUCE")
EIGEN_CONVOLUTIONS = _ynnpack("INDIVIDUAL_DOT", "REDUCE")


def compile_lowered(
    lowered: jax.stages.Lowered, options: Mapping[str, Any] | None = None
) -> jax.stages.Compiled:
    """Compile a program, for a CPU with the libraries that are faster on this one.

    Args:
        lowered: for the default device.
        options: more of XLA's; left out where it does not know all of them.
    """
    own = dict(options or {})
    ours = libraries() if jax.default_backend() == "cpu" else {}
    for asked in ([{**ours, **own}] if ours else []) + ([own] if own else []):
        with contextlib.suppress(jax.errors.JaxRuntimeError):
            return lowered.compile(asked)
    return lowered.compile()


@functools.cache
def libraries() -> Mapping[str, Any]:
    """Return XLA's options for the cores that this process may use; none for most."""
    if "GenuineIntel" not in _processor():
        return {}
    found = getattr(os, "sched_getaffinity", None)
    cores = len(found(0)) if found else os.cpu_count()
    return EIGEN if cores == 1 else EIGEN_CONVOLUTIONS


def _processor() -> str:
    try:
        return Path("/proc/cpuinfo").read_text("utf-8")
    except OSError:  # not Linux
        return platform.processor()

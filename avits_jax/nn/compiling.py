"""What XLA is told where it compiles for this machine's CPU.

XLA has YNNPACK multiply float32 matrices on a CPU. Eigen, which is built in too, takes
one core of an Intel processor less time for the same products; it shares several cores
worse (``tools/bench_products.py``).
"""

import contextlib
import functools
import os
import platform
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax

# Of what YNNPACK can do it is left the sums along an axis.
EIGEN: dict[str, Any] = {
    "xla_cpu_experimental_ynn_fusion_type": "LIBRARY_FUSION_TYPE_REDUCE"
}


def compile_lowered(
    lowered: jax.stages.Lowered, options: Mapping[str, Any] | None = None
) -> jax.stages.Compiled:
    """Compile a program, for a CPU with the products that are faster on this one.

    Args:
        lowered: for the default device.
        options: more of XLA's; left out where it does not know all of them.
    """
    own = dict(options or {})
    on_one_core = jax.default_backend() == "cpu" and has_one_intel_core()
    for asked in ([EIGEN | own] if on_one_core else []) + ([own] if own else []):
        with contextlib.suppress(jax.errors.JaxRuntimeError):
            return lowered.compile(asked)
    return lowered.compile()


@functools.cache
def has_one_intel_core() -> bool:
    """Tell whether this process may use one core only, and it is one of Intel's."""
    found = getattr(os, "sched_getaffinity", None)
    cores = len(found(0)) if found else os.cpu_count()
    return cores == 1 and "GenuineIntel" in _processor()


def _processor() -> str:
    try:
        return Path("/proc/cpuinfo").read_text("utf-8")
    except OSError:  # not Linux
        return platform.processor()

"""Test files that want several (virtual) CPU devices, in processes of their own.

The number of devices is fixed when JAX starts, and the other tests want one.
"""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]


def flags(num_devices: int) -> str:
    """Return XLA's flags of now, with so many devices."""
    kept = os.environ.get("XLA_FLAGS", "").split()
    return " ".join([*kept, f"--xla_force_host_platform_device_count={num_devices}"])


def pass_on_eight(file: Path, *more: str) -> None:
    """Run the tests of ``file`` where there are eight devices; they must pass.

    Args:
        file: of tests.
        *more: of pytest, such as which of the tests.
    """
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-n",
        "0",
        "-p",
        "no:cacheprovider",
    ]
    done = subprocess.run(
        [*command, *more, str(file)],
        env=os.environ | {"XLA_FLAGS": flags(8), "JAX_PLATFORMS": "cpu"},
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=900,
    )
    assert done.returncode == 0, done.stdout + done.stderr

"""Traced programs that are kept between runs."""

import os
import subprocess
import sys
from pathlib import Path


def test_cases_in_a_process_as_users_have_it():
    cases = Path(__file__).with_name("exported_cases.py")
    plain = ["--noconftest", "-q", "-p", "no:xdist", "-o", "addopts="]
    plain += ["-o", f"pythonpath={cases.parents[1]}"]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *plain, str(cases)],
        env=os.environ | {"JAX_ENABLE_COMPILATION_CACHE": "true"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout

"""tools/compile_tpu.py, where the TPU compiler is installed."""

import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

TOOL = Path(__file__).parents[2] / "tools" / "compile_tpu.py"


def run_tool(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(TOOL), *arguments],
        capture_output=True,
        text=True,
        timeout=600,
        env=os.environ | {"JAX_PLATFORMS": "cpu"},
    )


@pytest.mark.skipif(
    importlib.util.find_spec("libtpu") is None, reason="needs libtpu, the tpu extra"
)
@pytest.mark.slow  # the TPU compiler takes about 10 s for the whole search
def test_a_search_compiles_for_chips_that_are_not_there():
    done = run_tool("--topology", "v5e:2x2", "nothing:1x1", "--steps", "2")
    assert "N = 4, weights copied" in done.stdout, done.stderr
    sent = re.search(r"network: ([\d,]+)", done.stdout)
    clip = 16 * 32 * 32 * 3 * 4 + 32_000 * 4
    assert clip <= int(sent[1].replace(",", "")) <= clip + 200
    assert done.returncode == 1
    assert "compile_tpu: nothing:1x1: " in done.stderr


def test_help_names_the_commands_for_a_pod_and_bad_numbers_are_refused():
    done = run_tool("--help")
    assert 'pip install "avits_jax[tpu]"' in done.stdout
    assert "avits run PROMPTS.csv" in done.stdout
    done = run_tool("--topology", "v5e:2x2", "--candidates-per-chip", "0")
    assert done.returncode == 2 and "must be at least 1" in done.stderr

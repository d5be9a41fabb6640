"""What README.md and tools/examples show, runs."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
EXAMPLES = sorted((ROOT / "tools" / "examples").glob("*.py"))


def run(arguments: list[str], folder: Path) -> str:
    environment = {**os.environ, "JAX_PLATFORMS": "cpu"}
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_there_are_examples():
    assert len(EXAMPLES) >= 5


# Compiles gradients through a decoder and a verifier: half a minute.
_SLOW = ("gradient_guidance",)


@pytest.mark.parametrize(
    "path",
    [
        pytest.param(path, marks=[pytest.mark.slow] if path.stem in _SLOW else ())
        for path in EXAMPLES
    ],
    ids=lambda path: path.stem,
)
def test_example_runs(path, tmp_path):
    assert run([str(path)], tmp_path).strip()


def test_readme_example_runs(tmp_path):
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    blocks = re.findall(r"```python\n(.*?)```", text, re.S)
    assert blocks
    for block in blocks:
        out = run(["-c", block], tmp_path)
        assert "(16, 32, 32, 3) (32000,)" in out

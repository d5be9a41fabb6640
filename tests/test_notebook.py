"""The notebook runs from top to bottom, as a script and without Jupyter."""

import ast
import json
import re

import pytest
from test_examples import ROOT, run

NOTEBOOK = ROOT / "tools" / "notebooks" / "avits_jax.ipynb"
SMALL = {
    "NUM_CANDIDATES": 2,
    "NUM_ITERATIONS": 2,
    "NUM_PROMPTS": 2,
    "GROUP_SIZE": 2,
    "NUM_HELD_OUT": 2,
    "EVERY": 1,
    "STEPS": 3,
}
FRONT_END = "from IPython.display import Video, display"
# What Jupyter would do with a clip: it reads the file.
PLAYER = """
from pathlib import Path

def Video(path, embed, width):
    assert embed and b"ftyp" in Path(path).read_bytes()[:16]
    return path

def display(path):
    print("plays", path)
"""


@pytest.fixture(scope="module")
def cells() -> list[dict]:
    """The notebook's cells."""
    return json.loads(NOTEBOOK.read_text(encoding="utf-8"))["cells"]


def _code(cells) -> list[tuple[list[str], str]]:
    """Return tags and source of the code cells."""
    return [
        (cell["metadata"].get("tags", []), "".join(cell["source"]))
        for cell in cells
        if cell["cell_type"] == "code"
    ]


def test_it_is_small_without_outputs_and_pure_python(cells):
    assert NOTEBOOK.stat().st_size < 300_000
    assert len({cell["id"] for cell in cells}) == len(cells)
    for cell in cells:
        if cell["cell_type"] == "code":
            assert cell["outputs"] == [] and cell["execution_count"] is None
            ast.parse("".join(cell["source"]))


def test_the_small_setting_is_that_of_the_cell_of_parameters(cells):
    (parameters,) = (code for tags, code in _code(cells) if "parameters" in tags)
    given: dict[str, object] = {}
    exec(parameters, given)
    assert {name for name in given if name.isupper()} == set(SMALL)


def test_links_lead_to_sections(cells):
    text = "\n".join("".join(c["source"]) for c in cells if c["cell_type"] != "code")
    wanted = re.findall(r"\]\(#([^)]*)\)", text)
    found = {line[3:].replace(" ", "-") for line in re.findall(r"(?m)^## .*$", text)}
    assert wanted and set(wanted) == found


@pytest.mark.slow  # compiles all of it: a minute; the examples run
def test_it_runs(cells, tmp_path):
    small = "\n".join(f"{name} = {value}" for name, value in SMALL.items())
    code = [small if "parameters" in tags else code for tags, code in _code(cells)]
    script = tmp_path / "notebook.py"
    whole = "\n".join(code)
    assert whole.count("IPython") == 1
    script.write_text(whole.replace(FRONT_END, PLAYER), "utf-8")
    (tmp_path / "matplotlibrc").write_text("backend: Agg\n")
    out = run([str(script)], tmp_path)
    assert "plays first.mp4" in out and "plays early.mp4" in out
    assert "iteration   2: held-out score" in out
    assert (tmp_path / "curve.png").stat().st_size > 1000
    for name in ("mini_tv", "mini_ta", "mini_av"):
        assert len(re.findall(rf"^{name}(?:_judge)? +-?\d", out, re.M)) == 2
    (one, other) = re.search(r"winner (\d) on one device (\d)", out).groups()
    assert one == other

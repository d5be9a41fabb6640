"""The house style of the package's docstrings and signatures, read from its source."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import avits_jax

_ROOT = Path(avits_jax.__file__).parent
_FILES = {str(path.relative_to(_ROOT)): path for path in sorted(_ROOT.rglob("*.py"))}
_Function = ast.FunctionDef | ast.AsyncFunctionDef

# A first line says what a function does: it starts with one of these.
_VERBS = set(
    """
    Add Append Apply Ask Assign Attend Average Begin Bound Break Bring Build Cast Centre
    Change Check Choose Clip Close Collect Compare Compile Complete Compress Convert
    Convolve Copy Correlate Count Crop Cut Decode Delete Denoise Describe Divert Divide
    Double Draft Draw Embed Encode End Evolve Expand Fill Find Fit Flatten Free Gather
    Generate Give Go Group Have Hold Import Improve Integrate Interpolate Invert Join
    Keep Lay Learn Leave Lengthen Let List Load Lock Look Make Map Mark Measure Mend
    Merge Mix Move Multiply Name Normalise Note Open Pack Pad Parse Part Pass Pick Place
    Plan Predict Prepare Print Project Put Raise Read Recover Reduce Refuse Register
    Remember Remove Render Repeat Replace Resample Resize Resume Return Rotate Round Run
    Sample Save Say Scale Score Search See Send Separate Set Shape Share Show Shrink
    Smooth Solve Sort Space Split Spread Squash Stack Start Steer Stop Store Stretch Sum
    Take Tell Tile Tokenize Trade Train Try Turn Undo Unpack Update Use Wait Warn Warp
    Watch Work Wrap Write Yield
    """.split()
)
_MOST_PARAMETERS = 10
_MOST_OF_A_SEARCH = 13
_SEARCHES = {
    "adaptive_best_of_n",
    "arw",
    "beam_search",
    "best_of_n",
    "draft_best_of_n",
    "evosearch",
    "pruned_best_of_n",
    "refine",
    "smc",
    "zero_order",
}
# Rooms of networks and of what goes into them; mini has no source but this package.
_PORTED = ("generators/", "metrics/", "networks/", "verifiers/")
_OURS = ("generators/mini/", "verifiers/mini/")


def _definitions(node: ast.AST, name: str = "") -> Iterator[tuple[str, ast.AST]]:
    """Yield the classes and functions of modules and classes, with dotted names."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.ClassDef | _Function):
            dotted = f"{name}{child.name}"
            yield dotted, child
            if isinstance(child, ast.ClassDef):
                yield from _definitions(child, f"{dotted}.")


def _public(name: str) -> bool:
    return not any(part.startswith("_") for part in name.split("."))


@pytest.fixture(scope="module")
def found() -> list[tuple[str, str, ast.AST]]:
    """File, dotted name and node of all classes and functions of the package."""
    return [
        (file, name, node)
        for file, path in _FILES.items()
        for name, node in _definitions(ast.parse(path.read_text("utf-8")))
    ]


def test_everything_public_has_a_docstring(found):
    lacking = [
        f"{file}: {name}"
        for file, name, node in found
        if _public(name) and not ast.get_docstring(node)
    ]
    assert not lacking, lacking


def test_a_function_says_what_it_does_in_the_imperative(found):
    others = [
        f"{file}: {name}: {text.splitlines()[0]}"
        for file, name, node in found
        if isinstance(node, _Function) and (text := ast.get_docstring(node))
        if text.split()[0].rstrip(",") not in _VERBS
    ]
    assert not others, "\n".join(others)


def test_a_first_line_is_a_sentence_of_its_own(found):
    bad = [
        f"{file}: {name}"
        for file, name, node in found
        if (text := ast.get_docstring(node))
        and (len(text.splitlines()) > 1 and text.splitlines()[1])
    ]
    assert not bad, bad


def test_no_function_has_too_many_parameters(found):
    many = [
        f"{file}: {name}"
        for file, name, node in found
        if isinstance(node, _Function)
        and _num_parameters(node)
        > (_MOST_OF_A_SEARCH if name in _SEARCHES else _MOST_PARAMETERS)
    ]
    assert not many, many


def _num_parameters(node: _Function) -> int:
    own = node.args
    named = [arg.arg for arg in (*own.posonlyargs, *own.args, *own.kwonlyargs)]
    return len(named) - (named[:1] in (["self"], ["cls"]))


def test_ported_networks_name_their_source():
    lacking = []
    for file, path in _FILES.items():
        if not file.startswith(_PORTED) or file.startswith(_OURS):
            continue
        tree = ast.parse(path.read_text("utf-8"))
        if _has_network(tree) and "Upstream: " not in (ast.get_docstring(tree) or ""):
            lacking.append(file)
    assert not lacking, lacking


def _has_network(tree: ast.Module) -> bool:
    bases = {
        ast.unparse(base)
        for node in tree.body
        if isinstance(node, ast.ClassDef)
        for base in node.bases
    }
    return "nnx.Module" in bases

"""What importing costs: nothing heavy before it is used, and no name is lost."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import avits_jax

_STUB = Path(avits_jax.__file__).with_suffix(".pyi")
# Each takes a tenth of a second or more.
_HEAVY = "av flax jax matplotlib optax orbax rich scipy transformers tyro".split()


def _loaded(code: str) -> set[str]:
    """Return which heavy modules a fresh interpreter holds after the code."""
    code += f";import sys;print('loaded', *(m for m in {_HEAVY} if m in sys.modules))"
    printed = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True
    ).stdout
    return set(printed.splitlines()[-1].split()[1:])


@pytest.mark.parametrize(
    ("code", "allowed"),
    [
        ("import avits_jax; dir(avits_jax)", set()),
        ("import avits_jax.cli as c; c.main(['--version'])", set()),
        ("import avits_jax.cli as c; c.main(['--help'])", {"tyro"}),
        (
            "import avits_jax.cli as c; c.main(['generate', '--help'])",
            {"rich", "tyro"},
        ),
        ("import avits_jax as a; a.Media; a.best_of_n", {"jax", "optax"}),
    ],
)
def test_heavy_modules_wait_until_they_are_used(code, allowed):
    assert _loaded(code) <= allowed


def _stub() -> tuple[dict[str, str], set[str], list[str]]:
    """Return the stub's names with their modules, its packages, and its __all__."""
    names, packages, exported = {}, set(), []
    for node in ast.parse(_STUB.read_text("utf-8")).body:
        if isinstance(node, ast.ImportFrom):
            found = {alias.name for alias in node.names}
            if node.module == "avits_jax":
                packages |= found
            else:
                names |= dict.fromkeys(found, node.module)
        elif isinstance(node, ast.Assign):
            exported = ast.literal_eval(node.value)
    return names, packages, exported


def test_type_checkers_see_what_there_is():
    names, packages, exported = _stub()
    assert exported == avits_jax.__all__
    assert set(exported) == set(names) | {"generators", "sampling", "verifiers"}
    assert packages == set(avits_jax._PACKAGES)
    for name, module in names.items():
        # Touched through the package first, so that it is the one that imports.
        value = getattr(avits_jax, name)
        assert value is getattr(sys.modules[module], name), name
    for name in packages:
        assert getattr(avits_jax, name) is sys.modules[f"avits_jax.{name}"]
    assert set(dir(avits_jax)) >= {*exported, *packages}


def test_other_names_are_refused():
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        avits_jax.nothing  # noqa: B018

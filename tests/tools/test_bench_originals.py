"""Timing beside originals: the list of networks, and what is said of absent ones."""

import importlib
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from tools import bench_originals
from tools.ltx2_originals import NotThere
from tools.originals import cases, importing, pairs, stand_ins

_SOURCES = {cases.TORCH, cases.TRANSFORMERS, cases.DIFFUSERS, *importing.CHECKOUTS}


def test_every_case_is_there_once_and_has_a_known_source():
    names = [case.name for case in cases.CASES]
    assert len(set(names)) == len(names) >= 20
    for case in cases.CASES:
        module = importlib.import_module(f"tools.originals.{case.module}")
        assert callable(getattr(module, case.function)), case.name
        assert case.source in _SOURCES, case.name


@pytest.mark.parametrize("case", cases.CASES, ids=lambda case: case.name)
def test_without_torch_a_row_says_so(case, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    row = bench_originals.measure(case, bench_originals.options([]))
    assert row["ours s"].startswith("not run: torch is not installed")
    assert "ratio" not in row
    assert bench_originals.line(row).endswith("| - | - | - |")


def test_an_absent_checkout_is_named_with_its_commit(tmp_path):
    with pytest.raises(NotThere, match="--originals FOLDER with madebyollin/taehv"):
        importing.source(None, "taehv", "taehv")
    commit = importing.CHECKOUTS["taehv"].commit
    with pytest.raises(NotThere, match=f"madebyollin/taehv at {commit} is not in"):
        importing.source(tmp_path, "taehv", "taehv")


@pytest.fixture
def checkout(tmp_path, monkeypatch):
    """A folder with a checkout whose package must not run its own `__init__`."""
    inside = tmp_path / "made_up" / "made_up_package"
    inside.mkdir(parents=True)
    (inside / "__init__.py").write_text("raise RuntimeError\n", "utf-8")
    (inside / "network.py").write_text(
        "from made_up_registry import MODELS\n\n"
        "@MODELS.register('x')\nclass Network:\n    made_of = MODELS.anything()\n",
        "utf-8",
    )
    (inside / "needy.py").write_text("import made_up_absent\n", "utf-8")
    known = {"made_up": importing.Checkout("someone/made_up", "1234567")}
    monkeypatch.setattr(importing, "CHECKOUTS", known)
    monkeypatch.setattr(importing, "package", lambda name: None)
    monkeypatch.setattr(importing, "absent", lambda torch: {})
    monkeypatch.setattr(sys, "path", [*sys.path])
    yield tmp_path
    for name in [name for name in sys.modules if name.startswith("made_up")]:
        del sys.modules[name]


def test_a_checkout_is_imported_with_stand_ins_that_do_not_stay(checkout):
    found = importing.source(
        checkout,
        "made_up",
        "made_up_package.network",
        bare=("made_up_package",),
        stand_ins=("made_up_registry",),
    )
    assert isinstance(found.Network, type)
    assert isinstance(found.Network.made_of, stand_ins.StandIn)
    assert "made_up_registry" not in sys.modules


def test_a_checkouts_own_names_do_not_stay(checkout, monkeypatch):
    inside = checkout / "made_up" / "made_up_own"
    inside.mkdir()
    (inside / "__init__.py").write_text("", "utf-8")
    (inside / "derived.py").write_text(
        "import made_up_own, made_up_registry\n\n"
        "class Derived(made_up_registry.Base):\n    package = made_up_own\n",
        "utf-8",
    )
    others = ModuleType("made_up_own")
    monkeypatch.setitem(sys.modules, "made_up_own", others)
    path = [*sys.path]
    found = importing.source(
        checkout,
        "made_up",
        "made_up_own.derived",
        stand_ins=("made_up_registry",),
        own=("made_up_own",),
    )
    assert found.Derived.__bases__ == (object,)
    assert found.Derived.package.__path__ == [str(inside)]
    assert sys.modules["made_up_own"] is others
    assert "made_up_own.derived" not in sys.modules
    assert sys.path == [*path, str(checkout / "made_up")]


def test_a_checkout_that_lacks_a_package_is_absent(checkout):
    with pytest.raises(NotThere, match="someone/made_up: .*made_up_absent"):
        importing.source(
            checkout, "made_up", "made_up_package.needy", bare=("made_up_package",)
        )


def _pair(ours, theirs):
    return pairs.Pair(lambda: ours, lambda: theirs, np.asarray)


def test_results_are_compared_relative_to_the_originals():
    theirs = np.full(3, 2.0)
    assert pairs.difference(_pair(theirs + [0, 0, 0.5], theirs)) == 0.25
    with pytest.raises(ValueError, match=r"results are \[\(2,\)\]"):
        pairs.difference(_pair(np.ones(2), theirs))


def test_only_some_networks_can_be_asked_for():
    found = bench_originals.chosen_cases(["imagebind"])
    assert [case.name.split()[0] for case in found] == ["ImageBind"] * 3
    with pytest.raises(SystemExit, match="no network is called nothing"):
        bench_originals.chosen_cases(["nothing"])


def test_the_list_names_repositories_and_commits(capsys):
    assert bench_originals.main(["--list"]) == 0
    printed = capsys.readouterr().out
    for each in importing.CHECKOUTS.values():
        assert f"{each.repository} at {each.commit}" in printed


def test_turns_are_medians():
    found = bench_originals.median_times((lambda: 1, lambda: 2), 2, "cpu")
    assert len(found) == 2 and all(seconds >= 0 for seconds in found)
    assert Path(bench_originals.__file__).name in bench_originals.__doc__

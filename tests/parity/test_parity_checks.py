"""The parity tool fails whatever it does not know, cannot run, or finds wrong."""

import json

import goldens
import numpy as np
import pytest

from tools import check_parity
from tools.parity import registry
from tools.parity.checks import Expect, compare, compare_all
from tools.parity.golden import Golden


@pytest.fixture
def golden(tmp_path):
    info = {"tolerance": {"atol": 0.1, "rtol": 0.0, "per_output_atol": {"b": 0.01}}}
    (tmp_path / "toy.json").write_text(json.dumps(info))
    arrays = {"in.x": np.ones(2), "out.a": np.ones(2), "out.b": np.ones(2)}
    np.savez(tmp_path / "toy.io.npz", **arrays)
    return Golden(tmp_path, "toy")


@pytest.mark.parametrize(
    "results, failed",
    [
        ({"a": np.ones(2) + 0.05, "b": np.ones(2)}, []),
        ({"a": np.ones(2) + 0.05, "b": np.ones(2) + 0.05}, ["b"]),
        ({"a": np.ones(2)}, ["b"]),
        ({"a": np.ones(3), "b": np.ones(2)}, ["a"]),
        ({"a": np.array([1, np.nan]), "b": np.ones(2)}, ["a"]),
        ({"a": np.ones(2), "b": np.ones(2), "c": np.ones(2)}, ["c"]),
        ({"a": np.ones(2), "b": Expect(np.ones(2) + 0.05, atol=0.06)}, []),
        ({"a": Expect(["x"], ["y"], 0.0), "b": np.ones(2)}, ["a"]),
    ],
)
def test_outputs_are_compared(golden, results, failed):
    checks = compare_all(golden, results)
    assert [check.output for check in checks if not check.passed] == failed


def test_relative_tolerance_is_per_element():
    check = compare("x", [1.0, 100.0], [1.05, 101.0], atol=0.0, rtol=0.02)
    assert check.error == pytest.approx(1.0)
    assert check.ratio == pytest.approx(0.05 / 1.05 / 0.02)


@pytest.mark.parametrize(
    "runner, status",
    [
        (lambda golden: golden.outputs, 0),
        (lambda golden: {}, 1),
        (lambda golden: 1 / 0, 1),
        (None, 1),
    ],
)
def test_exit_status(golden, monkeypatch, capsys, runner, status):
    entries = [registry._Entry(runner, ("toy",), ())] if runner else []
    monkeypatch.setattr(registry, "_ENTRIES", entries)
    monkeypatch.setattr(check_parity, "load_runners", lambda: None)
    assert check_parity.main([str(golden.folder)]) == status
    total = f"{1 - status} of 1 goldens passed"
    assert total in capsys.readouterr().out


def test_what_a_golden_holds_counts_before_its_name(golden, monkeypatch):
    entries = {
        name: registry._Entry(lambda golden: {}, patterns, holds)
        for name, patterns, holds in (
            ("named", ("toy", "t*"), ()),
            ("held", (), ("in.x",)),
            ("held more", ("other",), ("in.*", "tolerance.atol")),
            ("held too much", ("toy*",), ("in.x", "in.y", "out.a")),
        )
    }
    monkeypatch.setattr(registry, "_ENTRIES", [])
    assert registry.find_runner(golden) is None
    for name, entry in entries.items():
        registry._ENTRIES.append(entry)
        best = "held more" if name == "held too much" else name
        assert registry.find_runner(golden) is entries[best].runner


def test_every_golden_is_known_by_what_it_holds():
    registry.load_runners()
    for area in ("javisdit", "verifiers", "t5"):
        for case in goldens.golden_cases(area):
            golden = case.values[0]
            # The same content, read from the same files, under a name of no runner.
            unnamed = Golden(golden.folder, "x")
            vars(unnamed).update(info=golden.info, arrays=golden.arrays)
            assert registry.find_runner(unnamed) is registry.find_runner(golden)
            assert registry.find_runner(unnamed) is not None, golden.name


def test_a_folder_without_goldens_is_refused(tmp_path):
    with pytest.raises(SystemExit) as error:
        check_parity.main([str(tmp_path)])
    assert error.value.code == 2

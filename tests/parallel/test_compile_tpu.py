"""tools/compile_tpu.py, where the TPU compiler is installed."""

import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import goldens  # noqa: F401  (makes tools importable)
import pytest

from avits_jax.parallel.hlo import Collective
from tools import compile_tpu

TOOL = Path(__file__).parents[2] / "tools" / "compile_tpu.py"


def run_tool(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(TOOL), *arguments],
        capture_output=True,
        text=True,
        timeout=600,
        env=os.environ | {"JAX_PLATFORMS": "cpu"},
    )


needs_compiler = pytest.mark.skipif(
    importlib.util.find_spec("libtpu") is None, reason="needs libtpu, the tpu extra"
)


@needs_compiler
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
    done = run_tool("--topology", "v5e:2x2", "--spare", "1")
    assert done.returncode == 2 and "--spare must lie in [0, 1)" in done.stderr


@needs_compiler
@pytest.mark.slow  # the TPU compiler, once more
def test_clips_of_javisdits_size_are_judged_on_eight_chips():
    done = run_tool("--model", "clips", "--topology", "v5e:2x4", "--duration", "2s")
    assert done.returncode == 0, done.stderr
    assert "N = 8, weights copied" in done.stdout
    assert "fits into 16 GB" in done.stdout


def _compiled(
    topology: str, temporaries: int, spare: float = 0.1
) -> compile_tpu.Compiled:
    gathered = Collective("all-gather", (("bf16", (4, 8)),), 30, "step")
    memory = {"argument": 10**9, "temp": temporaries}
    told = topology, 64, 16, 64, "split over 8", memory, 3e15, [gathered], 60.0, 10**13
    return compile_tpu.Compiled(*told, spare)


@pytest.mark.parametrize(
    ("topology", "gigabytes", "spare", "fits"),
    [
        ("v5e:8x8", 15, 0, True),
        ("v5e:8x8", 16, 0, False),
        ("v5p:4x4x4", 90, 0, True),
        ("v5e:8x8", 13, 0.1, True),
        ("v5e:8x8", 14, 0.1, False),
        ("v5e:8x8", 14, 0.05, True),
        ("v5p:4x4x4", 90, 0.1, False),
    ],
)
def test_memory_is_held_against_the_chips(topology, gigabytes, spare, fits):
    result = _compiled(topology, gigabytes * 10**9, spare)
    assert result.fits is fits
    verdict = "fits into" if fits else "does NOT fit into"
    assert f"{gigabytes + 1}.00 GB, {verdict}" in compile_tpu.describe(result)
    assert ("| yes, " if fits else "| no, ") in compile_tpu.table([result])


def test_a_tenth_of_the_memory_is_spared_unless_another_share_is_asked_for():
    asked = ["--model", "clips", "--topology", "v5e:2x2"]
    assert compile_tpu.Compiled._field_defaults["spare"] == 0.1
    if importlib.util.find_spec("libtpu") is None:
        pytest.skip("needs libtpu, the tpu extra")
    assert compile_tpu.parse(asked).spare == 0.1
    assert compile_tpu.parse([*asked, "--spare", "0"]).spare == 0


def test_what_must_not_be_is_told_in_a_line_each():
    """10 TB a candidate, 1,920 bytes across the network, memory to spare."""
    result = _compiled("v5e:8x8", 13 * 10**9)
    assert compile_tpu.faults(result, 1e13, 1920) == []
    assert compile_tpu.faults(result, 9e12, 1919) == [
        "moves 10 TB a candidate; 9 accepted",
        "sends 1.92e-06 GB to a chip; 1.92e-06 accepted",
    ]
    # Two candidates on a chip share what it moves.
    twice = result._replace(num_candidates=128)
    assert compile_tpu.faults(twice, 5e12, 1920) == []
    large = _compiled("v5e:8x8", 14 * 10**9)
    assert compile_tpu.faults(large, 1e13, 1920) == [
        "needs 15.00 GB of 16 GB with 10% to spare"
    ]


class Seen(NamedTuple):
    """Options that `main` looks at, in the place of those of the command line."""

    most_hbm: float = float("inf")
    most_network: float = float("inf")
    optimization_level: None = None
    topology: tuple[str, ...] = ("v5e:8x8",)


@pytest.mark.parametrize(
    ("options", "gigabytes", "status"),
    [
        (Seen(), 13, 0),
        (Seen(), 14, 1),
        (Seen(most_hbm=10), 13, 0),
        (Seen(most_hbm=9), 13, 1),
        (Seen(most_network=2e-6), 13, 0),
        (Seen(most_network=1e-6), 13, 1),
    ],
)
def test_a_limit_that_is_exceeded_fails(
    monkeypatch, capsys, options, gigabytes, status
):
    result = _compiled("v5e:8x8", gigabytes * 10**9)
    monkeypatch.setattr(compile_tpu, "parse", lambda arguments: options)
    monkeypatch.setattr(compile_tpu, "make_plan", lambda options: None)
    monkeypatch.setattr(compile_tpu, "compile_for", lambda *_: result)
    assert compile_tpu.main([]) == status
    assert ("compile_tpu: v5e:8x8: " in capsys.readouterr().err) == bool(status)


def test_seconds_are_those_of_the_chips_peaks():
    told = compile_tpu.describe(_compiled("v5e:8x8", 10**9))
    assert "main memory: 10,000,000,000,000\n" in told
    assert "peaks: matrix units 15.2, main memory 12.2, network 9.6e-09\n" in told
    twice = _compiled("v5e:8x8", 10**9)._replace(num_candidates=128)
    assert "matrix units 7.61, main memory 6.11" in compile_tpu.describe(twice)


def test_of_an_unknown_chip_only_the_bytes_are_told():
    result = _compiled("v9:2x2", 10**12)
    assert result.room is None and result.fits and not result.predicted
    assert "together 1001.00 GB\n" in compile_tpu.describe(result)
    assert "across the network: 1,920" in compile_tpu.describe(result)


def test_large_models_get_a_verifier_that_costs_nothing():
    if importlib.util.find_spec("libtpu") is None:
        pytest.skip("needs libtpu, the tpu extra")
    options = compile_tpu.parse(["--model", "clips", "--topology", "v5e:2x2"])
    plan = compile_tpu.make_plan(options)
    assert [each.name for each in plan.settings["verifiers"]] == ["brightness"]
    assert plan.params == ((), ((),))

"""A generator from elsewhere through the command line; only its table is given."""

import shutil
import sys
from pathlib import Path

import jax
import pytest

from avits_jax.cli import main, memory
from avits_jax.files.resources import data_folder
from avits_jax.report import load_results
from avits_jax.runs import read_records, read_run
from avits_jax.weights.manifest import read_manifest

sys.path.append(str(Path(__file__).parents[1] / "generators"))
from toy_family import TABLE  # noqa: E402

FLAGS = [
    *("--model", "toy", "--verifiers", "av_align", "--num-candidates", "2"),
    *("--random-weights", "--no-compilation-cache"),
]


@pytest.fixture
def toys(tmp_path, monkeypatch):
    """Run a command with the toy's table in an empty folder."""
    monkeypatch.setenv("AVITS_CHECKPOINTS", str(tmp_path / "checkpoints"))
    monkeypatch.chdir(tmp_path)
    enabled = jax.config.jax_enable_compilation_cache
    yield lambda *arguments: main(arguments, families=TABLE)
    jax.config.update("jax_enable_compilation_cache", enabled)


def test_generate_and_run_are_the_same_search(toys, tmp_path, no_pictures):
    flags = [*FLAGS, "--set", "loudness=0.1,num_steps=3"]
    assert toys("generate", "a toy", *flags, "--out", "one") == 0
    one = load_results("one")
    assert one["random_weights"] == ["toy"] and one["settings"]["steps"] is None
    assert toys("generate", "--config", "one/config.toml", "--out", "again") == 0
    assert load_results("again")["candidates"] == one["candidates"]
    (tmp_path / "prompts.txt").write_text("a toy\nanother")
    assert toys("run", "prompts.txt", *flags, "--out", "many") == 0
    assert read_run("many")["settings"]["set"] == ["loudness=0.1", "num_steps=3"]
    first, second = read_records("many")
    rewards = [candidate["rewards"] for candidate in one["candidates"]]
    assert first.rewards.tolist() == rewards and first.nfe == 2 * 3
    assert first.best == one["best_index"]
    reordered = [*FLAGS, "--set", "num_steps=3", "--set", "loudness=0.1"]
    assert toys("run", "prompts.txt", *reordered, "--out", "many") == 0
    assert toys("run", "prompts.txt", *FLAGS, "--out", "many") == 2


def test_its_options_are_listed_and_checked(toys, capsys):
    assert toys("list") == 0
    printed = capsys.readouterr().out
    assert "toy weights: missing (MIT)" in printed
    assert "loudness" in printed and "a number: of its sound" in printed
    assert toys("generate", "a toy", *FLAGS, "--resolution", "240p") == 2
    message = "--resolution: toy has no option 'resolution' (it has: num_steps, "
    assert f"avits: error: {message}" in capsys.readouterr().err
    plain = [flag for flag in FLAGS if flag != "--random-weights"]
    assert toys("generate", "a toy", *plain) == 2
    assert "avits convert toy" in capsys.readouterr().err


def test_its_weights_are_counted(toys, capsys, monkeypatch):
    count = (48 + 32) * (512 + 1) * 4
    there = memory.Memory(count - 1, holds_weights=True)
    monkeypatch.setattr(memory, "device_memory", lambda: there)
    assert toys("generate", "a toy", *FLAGS) == 2
    assert "(toy 0.000 GB)" in capsys.readouterr().err


def test_damaged_weights_are_found(toys, tmp_path, capsys, monkeypatch):
    shipped = data_folder("checkpoints") / "mini" / "generator"
    folder = shutil.copytree(shipped, tmp_path / "checkpoints" / "toy")
    assert toys("list", "--verify") == 0
    assert f"whole    {folder}" in capsys.readouterr().out
    file = folder / read_manifest(folder)["files"][-1]["path"]
    content = file.read_bytes()
    file.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    assert toys("list", "--verify") == 1
    printed = capsys.readouterr().out
    assert f"DAMAGED  {folder}" in printed and printed.count("DAMAGED") == 1

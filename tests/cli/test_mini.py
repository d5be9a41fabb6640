"""The command as a person runs it: a process of its own, over the shipped mini."""

import json
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import avits_jax
from avits_jax.cli import main
from avits_jax.files.resources import data_folder
from avits_jax.media import read_clip
from avits_jax.weights import checkpoint

PROMPT = "a red circle bounces three times with a bell"
SMALL = ["--num-candidates", "2", "--steps", "4"]


@pytest.fixture
def avits(tmp_path, monkeypatch):
    """Return a function that starts the command in an empty folder."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("PYTHONPATH", str(Path(avits_jax.__file__).parents[1]))
    (tmp_path / "here").mkdir()

    def start(*arguments):
        return subprocess.Popen(
            [sys.executable, "-m", "avits_jax.cli", *arguments],
            cwd=tmp_path / "here",
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    return start


def test_main_job(avits, tmp_path):
    process = avits("generate", PROMPT, *SMALL, "--out", "runs/first")
    out, err = process.communicate(timeout=300)
    assert process.returncode == 0, err
    folder = tmp_path / "here" / "runs" / "first"
    results = json.loads((folder / "results.json").read_text())
    assert len(results["candidates"]) == 2 and results["settings"]["steps"] == 4
    assert all(name in out for name in ("mini_tv", "mini_ta", "mini_av", "score"))
    clip = read_clip(folder / "best.mp4")
    seconds = results["clip"]["frames"] / results["clip"]["fps"]
    assert abs(len(clip.video) / clip.fps - seconds) < 0.2
    assert abs(clip.audio).max() > 0.01
    assert "Traceback" not in err and len(err.splitlines()) == 4


def test_ctrl_c(avits, tmp_path):
    process = avits("generate", PROMPT, *SMALL, "--out", "runs/first")
    for line in process.stderr:
        if line.startswith("Loaded"):
            break
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert err == "avits: error: interrupted; nothing was written\n"
    assert list((tmp_path / "here").iterdir()) == []


def test_prompt_outside_the_grammar(avits, tmp_path):
    process = avits("generate", "ein größeres Haus 赤", *SMALL)
    out, err = process.communicate(timeout=120)
    assert process.returncode == 2 and out == ""
    assert err.startswith("avits: error: prompt") and "mini understands" in err
    assert err.count("\n") == 1
    assert list((tmp_path / "here").iterdir()) == []


@pytest.mark.parametrize("fault", ["truncated", "changed", "of a verifier", "empty"])
def test_damaged_checkpoints(tmp_path, capsys, monkeypatch, fault):
    monkeypatch.chdir(tmp_path)
    shipped = data_folder("checkpoints") / "mini"
    name = "mini_tv" if fault == "of a verifier" else "generator"
    folder = shutil.copytree(shipped / name, tmp_path / "weights" / "toy")
    entry = checkpoint.read_manifest(folder)["files"][-1]
    file = folder / entry["path"]
    content = file.read_bytes()
    if fault == "truncated":
        file.write_bytes(content[: len(content) // 2])
    if fault == "changed":
        file.write_bytes(bytes([content[0] ^ 1]) + content[1:])
    if fault == "empty":
        shutil.rmtree(folder)
        folder.mkdir()
    flags = ["--model", "weights/toy", "--no-compilation-cache", *SMALL]
    assert main(["generate", PROMPT, *flags]) == 2
    (message,) = capsys.readouterr().err.splitlines()
    assert message.startswith("avits: error: ") and "weights/toy" in message
    assert [path.name for path in tmp_path.iterdir()] == ["weights"]

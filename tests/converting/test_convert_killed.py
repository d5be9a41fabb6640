"""A conversion that is killed, or has no room, leaves nothing that looks whole."""

import json
import shutil
import signal
import subprocess
import sys

import jax.numpy as jnp
import pytest
from goldens import golden_cases
from safetensors.numpy import save_file

from avits_jax.cli import main
from avits_jax.converting import conversion
from avits_jax.converting.models import find_model
from avits_jax.weights import checkpoint
from avits_jax.weights.checkpoint import CheckpointError
from avits_jax.weights.config import config_values
from avits_jax.weights.parts import read_index
from tools.parity.clap import config_of

# Dies as soon as a slice of the second part is made.
SCRIPT = """
import os, signal, sys
from pathlib import Path
from avits_jax import converting
from avits_jax.cli import main
out, prepare = Path(sys.argv[1]), converting.prepare

def die(_):
    if any(out.parent.glob(f".{out.name}.new-*/.t5.new-*/arrays*")):
        os.kill(os.getpid(), signal.SIGKILL)

converting.prepare = lambda *args, **more: prepare(*args, **more | {"advance": die})
main(["convert", *sys.argv[2:]])
"""


def test_killed_between_parts(tmp_path, javisdit_case):
    source, sizes, _ = javisdit_case
    out, stated = tmp_path / "out", tmp_path / "sizes.json"
    checkpoint.save(out, {"w": jnp.ones(3)}, {"model": "older"})
    values = {name: config_values(config) for name, config in sizes.items()}
    stated.write_text(json.dumps(values))
    flags = ["--source", source, "--out", out, "--sizes", stated, "--overwrite"]
    command = [sys.executable, "-c", SCRIPT, out, "javisdit", *flags]
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True)
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert checkpoint.load(out).metadata["model"] == "older"
    (left,) = tmp_path.glob(".out.new-*")
    # The first part is finished, the second is not, and neither is the whole.
    assert (left / "transformer" / "manifest.json").is_file()
    assert not (left / "t5").exists()
    with pytest.raises(CheckpointError, match="no whole checkpoint"):
        read_index(left)


def test_no_room(tmp_path, monkeypatch):
    (golden,) = (case.values[0] for case in golden_cases("verifiers", "clap"))
    save_file(golden.weights, tmp_path / "model.safetensors")
    model, sizes = find_model("clap"), config_values(config_of(golden.info))
    ready = conversion.prepare(model, tmp_path, sizes=sizes)
    free = ready[""].total_bytes - 1
    usage = shutil.disk_usage(tmp_path)._replace(free=free)
    monkeypatch.setattr(conversion.shutil, "disk_usage", lambda folder: usage)
    with pytest.raises(CheckpointError, match="takes .* GB, but .* has .* GB free"):
        conversion.convert(model, ready, tmp_path / "new" / "out")
    assert not (tmp_path / "new").exists()


def test_leftovers_are_named(tmp_path, capsys):
    left = tmp_path / ".out.new-abc"
    left.mkdir()
    flags = ["--source", tmp_path / "none", "--out", tmp_path / "out"]
    assert main(["convert", "clap", *map(str, flags)]) == 2
    assert str(left) in capsys.readouterr().out.replace("\n", "")

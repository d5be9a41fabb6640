"""LTX-2.3, small, from both published layouts to checkpoints that load."""

import json
import signal
import subprocess
import sys

import jax
import ml_dtypes
import numpy as np
import pytest
from ltx2_tiny import (
    drawn_parts,
    sizes,
    state_of,
    states_of,
    write_folders,
    write_single_file,
)
from safetensors.numpy import save_file
from tokenizer_files import byte_fallback_tokenizer, write_whole

from avits_jax.catalogue.generators import infos
from avits_jax.cli import main
from avits_jax.generators.ltx2.parts import LTX_2, LTX_2_3
from avits_jax.weights.checkpoint import CheckpointError
from avits_jax.weights.model import read_configs, read_parts
from avits_jax.weights.network import Weights
from avits_jax.weights.parts import read_index

LAYER = "transformer_blocks.1.ff.net.2"

# Dies as soon as a slice of the second part is made.
SCRIPT = """
import os, signal, sys
from pathlib import Path
from avits_jax import converting
from avits_jax.cli import main
out, prepare = Path(sys.argv[1]), converting.prepare

def die(_):
    if any(out.parent.glob(f".{out.name}.new-*/.text.new-*/arrays*")):
        os.kill(os.getpid(), signal.SIGKILL)

converting.prepare = lambda *args, **more: prepare(*args, **more | {"advance": die})
main(["convert", *sys.argv[2:]])
"""


@pytest.fixture(scope="module")
def published(tmp_path_factory):
    """Weights by part, and folders with them in both layouts and their sizes."""
    root = tmp_path_factory.mktemp("published")
    trees = drawn_parts()
    states = states_of(trees)
    write_single_file(root / "single", states)
    write_folders(root / "folders", states)
    (root / "sizes.json").write_text(json.dumps(sizes()))
    return trees, root


def float32(array):
    return np.asarray(array, np.float32)


def command(root, layout, out, *more):
    flags = ["--source", root / layout, "--out", out, "--sizes", root / "sizes.json"]
    return ["ltx-2.3", *map(str, [*flags, *more])]


def read(folder, dtype="float32", model=LTX_2_3):
    weights = Weights(folder, dtype)
    return read_parts(model, weights, read_configs(model, weights))._asdict()


def left_out(folder):
    """Which optional networks the listing says a checkpoint lacks."""
    (info,) = (each for each in infos() if each.name == "ltx-2.3")
    return info._replace(folder=folder).left_out


@pytest.fixture(scope="module")
def single(published, tmp_path_factory):
    """The checkpoint of the single file and all that can lie beside it."""
    out = tmp_path_factory.mktemp("converted") / "out"
    assert main(["convert", *command(published[1], "single", out)]) == 0
    return out


def write_lora(path, shape):
    """A LoRA of one matrix; its halves."""
    draws = np.random.default_rng(0)
    sizes = ((shape[0], 2), (2, shape[1]))
    up, down = (draws.normal(size=size).astype(np.float32) for size in sizes)
    key = f"diffusion_model.{LAYER}"
    save_file({f"{key}.lora_A.weight": down, f"{key}.lora_B.weight": up}, path)
    return up, down


def test_a_single_file(published, single):
    trees, _ = published
    assert (single / "text" / "tokenizer" / "tokenizer.json").is_file()
    jax.tree.map(np.testing.assert_array_equal, read(single), trees)
    assert "loras" not in read_index(single)
    with pytest.raises(CheckpointError, match="'ltx-2.3', not 'ltx-2'"):
        read(single, model=LTX_2)


def test_folders_with_a_lora_in_8_bits_and_nothing_optional(
    published, single, tmp_path, capsys
):
    trees, root = published
    (part,) = (each for each in LTX_2_3.parts if each.name == "transformer")
    base = state_of(part, trees["transformer"])[f"{LAYER}.weight"]
    file, out = tmp_path / "style.safetensors", tmp_path / "out"
    up, down = write_lora(file, base.shape)
    flags = ("--lora", f"{file}:0.5", "--dtype", "float8")
    assert main(["convert", *command(root, "folders", out, *flags)]) == 0
    assert "dropped 1: Gemma's vision tower" in capsys.readouterr().out
    assert read_index(out)["loras"] == [{"file": "style.safetensors", "scale": 0.5}]
    found, plain = (read(folder, "float8") for folder in (out, single))
    assert found["upsampler"] == found["preview"] == ()
    assert left_out(out) == ("upsampler", "preview") and left_out(single) == ()
    kernels = found["transformer"]["blocks"]["video"]["mlp"]["down"]["kernel"]
    assert kernels.dtype == ml_dtypes.float8_e4m3fn
    rounded = (base + 0.5 * up @ down).T.astype(ml_dtypes.float8_e4m3fn)
    np.testing.assert_array_equal(*map(float32, (kernels[1], rounded)))
    # Everything else is what the single file gave.
    plain |= {"upsampler": (), "preview": ()}
    for tree in (found, plain):
        mlp = tree["transformer"]["blocks"]["video"]["mlp"]["down"]
        mlp["kernel"] = mlp["kernel"][:1]
    jax.tree.map(
        lambda a, b: np.testing.assert_array_equal(float32(a), float32(b)), found, plain
    )
    # What is left out is missed in a line, before weights are read.
    write_whole(out / "text/tokenizer", byte_fallback_tokenizer())
    flags = ["--model", str(out), "--verifiers", "av_align", "--preview-decoder"]
    assert main(["generate", "a dog", *flags, "--out", str(tmp_path / "run")]) == 2
    told = capsys.readouterr().err.splitlines()[-1]
    assert "error: --preview-decoder: the checkpoint has no small decoder" in told


def test_a_lora_of_another_model_is_refused_first(published, tmp_path, capsys):
    _, root = published
    file = tmp_path / "other.safetensors"
    write_lora(file, (5, 5))
    flags = command(root, "single", tmp_path / "out", "--lora", str(file))
    assert main(["convert", *flags]) == 2
    said = " ".join(capsys.readouterr().err.split())
    assert "is a LoRA of another model: A (2, 5) and B (5, 2) do not fit" in said
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("model", "lora", "said"),
    [
        ("clap", "{file}", "takes no LoRA"),
        ("ltx-2.3", "{file}:nan", "the scale must be a number, got nan"),
        ("ltx-2.3", "{file}:strong", "style.safetensors:strong is no file"),
        ("ltx-2.3", "none.safetensors:0.5", "--lora none.safetensors is no file"),
    ],
)
def test_flags_that_make_no_sense(tmp_path, capsys, model, lora, said):
    file = tmp_path / "style.safetensors"
    write_lora(file, (5, 5))
    flags = ["--source", tmp_path, "--out", tmp_path / "out"]
    flags += ["--lora", lora.format(file=file)]
    assert main(["convert", model, *map(str, flags)]) == 2
    assert said in " ".join(capsys.readouterr().err.split())


def test_killed_between_parts(published, tmp_path):
    _, root = published
    out = tmp_path / "out"
    flags = command(root, "single", out)
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(out), *flags],
        capture_output=True,
        text=True,
    )
    assert done.returncode == -signal.SIGKILL, done.stderr
    (left,) = tmp_path.iterdir()
    assert left.name.startswith(".out.new-")
    assert (left / "transformer" / "manifest.json").is_file()
    with pytest.raises(CheckpointError, match="no whole checkpoint"):
        read_index(left)

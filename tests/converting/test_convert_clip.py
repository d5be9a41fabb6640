"""CLIP's published files, in both layouts and kinds, to one checkpoint."""

import json
import zipfile

import jax
import numpy as np
import pytest
from clip_layouts import openai_layout
from goldens import golden_cases
from safetensors.numpy import save_file
from torch_files import tensors, write_torch

from avits_jax.cli import main
from avits_jax.converting.models import find_model
from avits_jax.networks.clip import params as names
from avits_jax.weights import checkpoint, name_map
from avits_jax.weights.config import config_values
from tools.parity.clip import config_of

GOLDEN = golden_cases("benchmarks", "clip_vit_tiny")[0].values[0]
CONFIG = config_of(GOLDEN.info["constructor"])
STATE = GOLDEN.weights
POSITIONS = {
    f"{tower}_model.embeddings.position_ids": np.arange(3)[None]
    for tower in ("text", "vision")
}


def convert(source, out):
    """Run the command on files of the golden's sizes; return its exit status."""
    sizes = out.parent / "sizes.json"
    sizes.write_text(json.dumps(config_values(CONFIG)))
    flags = ["--source", source, "--out", out, "--sizes", sizes]
    return main(["convert", "clip", *map(str, flags)])


@pytest.mark.parametrize(
    ("file", "state"),
    [
        ("pytorch_model.bin", STATE | POSITIONS),
        ("model.safetensors", STATE),
        ("ViT-B-32.pt", openai_layout(STATE)),
        ("openai.safetensors", openai_layout(STATE)),
    ],
)
def test_every_layout_gives_one_checkpoint(tmp_path, file, state, capsys):
    if file.endswith(".safetensors"):
        save_file(
            {k: np.ascontiguousarray(v) for k, v in state.items()}, tmp_path / file
        )
    else:
        write_torch(tmp_path / file, tensors(state))
    assert convert(tmp_path, tmp_path / "out") == 0
    found = checkpoint.load(tmp_path / "out", expect_model="clip").tree
    like = names.build(CONFIG)[1]
    wanted = name_map.load(STATE, like, names.RULES, names.IGNORED)
    jax.tree.map(np.testing.assert_array_equal, found, wanted)
    assert "dropped 1: the score is the cosine itself" in capsys.readouterr().out


def test_half_precision_is_stored_as_float32(tmp_path):
    state = {k: np.asarray(v, np.float16) for k, v in openai_layout(STATE).items()}
    write_torch(tmp_path / "clip.pt", tensors(state))
    assert convert(tmp_path / "clip.pt", tmp_path / "out") == 0
    found = checkpoint.load(tmp_path / "out").tree
    assert {str(leaf.dtype) for leaf in jax.tree.leaves(found)} == {"float32"}
    wanted = STATE["visual_projection.weight"].T.astype(np.float16)
    np.testing.assert_array_equal(found["vision_head"]["kernel"], wanted)


def test_torchscript_is_refused_and_says_what_is_read(tmp_path, capsys):
    path = tmp_path / "ViT-B-32.pt"
    with zipfile.ZipFile(path, "w") as archive:
        for name in ("data.pkl", "constants.pkl", "version"):
            archive.writestr(f"ViT-B-32/{name}", b"3\n")
    assert convert(path, tmp_path / "out") == 2
    error = capsys.readouterr().err
    assert "a TorchScript archive" in error and "state_dict() saved with" in error
    assert error.count("\n") == 1 and not (tmp_path / "out").exists()


def test_three_parts_that_are_not_equal_are_named(tmp_path, capsys):
    state = openai_layout(STATE)
    key = "transformer.resblocks.0.attn.in_proj_weight"
    state[key] = state[key][:-1]
    write_torch(tmp_path / "clip.pt", tensors(state))
    assert convert(tmp_path / "clip.pt", tmp_path / "out") == 2
    assert f"shape: {key}" in capsys.readouterr().err


def test_help_says_what_is_fetched():
    (download,) = find_model("clip").downloads
    assert download.licence == "MIT" and "OpenAI" in download.what

"""Audiobox's published files: safetensors, and the pickle whose keys have a prefix."""

import json

import jax
import numpy as np
import pytest
from goldens import golden_cases
from safetensors.numpy import save_file
from torch_files import tensors, write_torch

from avits_jax.cli import main
from avits_jax.converting.models import find_model
from avits_jax.verifiers.audiobox.config import AudioboxConfig
from avits_jax.weights import checkpoint
from avits_jax.weights import name_map as weights
from avits_jax.weights.config import config_from, config_values
from tools.parity.audiobox import config_of

(CASE,) = golden_cases("benchmarks", "audiobox_")
GOLDEN = CASE.values[0]


def publish(folder, layout):
    """Write the tiny weights as one of the published files."""
    if layout == "model.safetensors":
        save_file(GOLDEN.weights, folder / layout)
        return
    state = {f"model.{key}": value for key, value in GOLDEN.weights.items()}
    scale = GOLDEN.info["constructor"]["heads"]["target_transform"]
    whole = {
        "state_dict": tensors(state),
        "model_cfg": {"proj_num_layer": 5, "proj_ln": True, "precision": "32"},
        "target_transform": scale,
    }
    write_torch(folder / layout, whole)


def convert(source, out):
    """Run the command; return its exit status."""
    sizes = out.parent / "sizes.json"
    sizes.write_text(json.dumps(config_values(config_of(GOLDEN.info))))
    flags = ["--source", source, "--out", out, "--sizes", sizes]
    return main(["convert", "audiobox", *map(str, flags)])


@pytest.mark.parametrize("layout", ["model.safetensors", "checkpoint.pt"])
def test_both_layouts_give_the_same_weights(tmp_path, layout, capsys):
    (tmp_path / "source").mkdir()
    publish(tmp_path / "source", layout)
    assert convert(tmp_path / "source" / layout, tmp_path / "out") == 0
    assert "dropped 1: for training only" in capsys.readouterr().out
    model, config = find_model("audiobox"), config_of(GOLDEN.info)
    (part,) = model.parts
    loaded = checkpoint.load(tmp_path / "out", expect_model=model.name)
    assert config_from(AudioboxConfig, loaded.metadata["config"]) == config
    like = part.build(config)[1]
    wanted = weights.load(GOLDEN.weights, like, part.rules, part.ignored(config))
    assert jax.tree.structure(loaded.tree) == jax.tree.structure(wanted)
    for one, other in zip(
        jax.tree.leaves(loaded.tree), jax.tree.leaves(wanted), strict=True
    ):
        np.testing.assert_array_equal(one, other)


def test_a_head_that_lacks_a_layer_is_refused(tmp_path, capsys):
    state = {k: v for k, v in GOLDEN.weights.items() if "proj_layer.PQ.3." not in k}
    save_file(state, tmp_path / "model.safetensors")
    assert convert(tmp_path / "model.safetensors", tmp_path / "out") == 2
    message = capsys.readouterr().err
    assert "missing: proj_layer.PQ.3.weight" in message
    assert not (tmp_path / "out").exists()

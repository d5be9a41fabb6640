"""Conversions of whole models from tiny published-style files, and their faults."""

import json
from dataclasses import replace

import jax
import ml_dtypes
import numpy as np
import pytest
from goldens import golden_cases
from javisdit_files import t5_state
from safetensors.numpy import save_file
from torch_files import tensors, write_torch

from avits_jax.cli import main
from avits_jax.converting import conversion
from avits_jax.converting.models import find_model, reader_of
from avits_jax.networks.t5.modeling import T5Config
from avits_jax.weights import checkpoint
from avits_jax.weights import name_map as weights
from avits_jax.weights.checkpoint import CheckpointError
from avits_jax.weights.config import config_from, config_values
from avits_jax.weights.parts import read_index, verify_files
from tools.parity import clap, desync, imagebind, video_reward, vqa_score

GOLDENS = {case.id: case.values[0] for case in golden_cases("verifiers")}


def reward_config(golden):
    sizes = golden.info["constructor"]
    return video_reward.config_of(sizes, [1, 2, 3])


VERIFIERS = {
    "imagebind": (
        "imagebind_tiny",
        lambda g: imagebind.config_of(g.info["constructor"]),
    ),
    "clap": ("clap_tiny", lambda g: clap.config_of(g.info)),
    "vqa-score": (
        "vqascore_tiny",
        lambda g: vqa_score.config_of(g.info["constructor"]),
    ),
    "synchformer": (
        "synchformer_tiny",
        lambda g: desync.config_of(g.info["constructor"]),
    ),
    "video-reward": ("videoreward_tiny", reward_config),
}


def run(model, source, out, config, *more):
    """Run the command on a model of other sizes; return its exit status."""
    sizes = out.parent / "sizes.json"
    values = (
        {k: config_values(v) for k, v in config.items()}
        if (isinstance(config, dict))
        else config_values(config)
    )
    sizes.write_text(json.dumps(values))
    flags = ["--source", source, "--out", out, "--sizes", sizes, *more]
    return main(["convert", model, *map(str, flags)])


def expected(part, config, state):
    """What the goldens' own path makes of a state dict."""
    like = part.build(config)[1]
    return weights.load(state, like, part.rules, part.ignored(config))


def assert_same(tree, wanted, dtype=None):
    """Equal leaf by leaf, matrices rounded to ``dtype`` on the way."""
    assert jax.tree.structure(tree) == jax.tree.structure(wanted)
    for one, other in zip(jax.tree.leaves(tree), jax.tree.leaves(wanted), strict=True):
        if dtype is not None and one.dtype == dtype:
            other = other.astype(dtype)
        assert (one.dtype, one.shape) == (other.dtype, other.shape)
        np.testing.assert_array_equal(np.asarray(one), other)


@pytest.fixture
def clap_case(tmp_path):
    """CLAP's tiny weights in a folder as published."""
    golden = GOLDENS["clap_tiny"]
    folder = tmp_path / "source"
    folder.mkdir()
    save_file(golden.weights, folder / "model.safetensors")
    return folder, VERIFIERS["clap"][1](golden), dict(golden.weights)


@pytest.mark.parametrize("name", VERIFIERS)
def test_verifiers(tmp_path, name, capsys):
    case, config_of = VERIFIERS[name]
    golden, model = GOLDENS[case], find_model(name)
    (part,) = model.parts
    config = config_of(golden)
    write_torch(tmp_path / "model.pth", tensors(golden.weights))
    assert run(name, tmp_path / "model.pth", tmp_path / "out", config) == 0
    loaded = checkpoint.load(tmp_path / "out", expect_model=model.name)
    state = reader_of(model)(tmp_path / "model.pth")
    assert_same(loaded.tree, expected(part, config, state))
    assert config_from(type(config), loaded.metadata["config"]) == config
    assert loaded.metadata["source"] == ["model.pth"]
    dropped = sum(loaded.metadata["dropped"].values())
    printed = capsys.readouterr().out
    assert printed.count("dropped") == len(loaded.metadata["dropped"])
    like, ignored = part.build(config)[1], part.ignored(config)
    assert dropped == len(weights.make_plan(state, like, part.rules, ignored).ignored)


def test_published_sizes_are_the_default():
    parts = {part.name: part for part in find_model("javisdit").parts}
    assert config_from(T5Config, {}) == parts["t5"].config
    shapes = parts["t5"].build(parts["t5"].config)[1]
    assert sum(leaf.size for leaf in jax.tree.leaves(shapes)) > 4.7e9


def lora_parts(state, folder):
    """The layout of three files: base model, other weights, adapter."""
    (folder / "base").mkdir(parents=True)
    halves = {k: v for k, v in state.items() if ".lora_" in k}
    others = {k: v for k, v in state.items() if k not in halves}
    plain = {k.replace("base_model.model.", ""): v for k, v in others.items()}
    plain = {k.replace(".base_layer", ""): v for k, v in plain.items()}
    changed = {k: v for k, v in others.items() if "rm_head" in k}
    stale = {k: v for k, v in plain.items() if "rm_head" not in k}
    save_file(stale, folder / "base" / "model.safetensors")
    write_torch(folder / "non_lora_state_dict.pth", tensors(changed))
    adapter = {k.replace(".default", ""): v for k, v in halves.items()}
    save_file(adapter, folder / "adapter_model.safetensors")
    stated = {"r": 4, "lora_alpha": 8}
    (folder / "adapter_config.json").write_text(json.dumps(stated))


def test_low_rank_updates_in_both_layouts(tmp_path, capsys):
    golden, model = GOLDENS["videoreward_lora_tiny"], find_model("video-reward")
    config = reward_config(golden)
    whole, parts = tmp_path / "whole" / "checkpoint-7", tmp_path / "parts"
    whole.mkdir(parents=True)
    write_torch(whole / "model.pth", tensors(golden.weights))
    lora_parts(golden.weights, parts)
    trees = []
    for source in (whole.parent, parts):
        out = tmp_path / f"{source.name}_out"
        assert run("video-reward", source, out, config) == 0
        trees.append(checkpoint.load(out).tree)
    assert_same(trees[0], jax.tree.map(np.asarray, trees[1]))
    plain = video_reward.merge_lora(golden.weights, scale=2.0)
    assert_same(trees[0], expected(model.parts[0], config, plain))
    (parts / "adapter_config.json").write_text("{}")
    assert run("video-reward", parts, tmp_path / "x", config) == 2
    assert "states no lora_alpha" in capsys.readouterr().err
    (parts / "non_lora_state_dict.pth").unlink()
    assert run("video-reward", parts, tmp_path / "x", config) == 2
    assert "non_lora_state_dict.pth" in capsys.readouterr().err


def test_javisdit_in_parts(tmp_path, javisdit_case):
    source, sizes, state = javisdit_case
    out = tmp_path / "out"
    assert run("javisdit", source, out, sizes) == 0
    parts = {part.name: part for part in find_model("javisdit").parts}
    index = read_index(out, expect_parts=parts)
    assert index["model"] == "javisdit-v0.1"
    for name, part in parts.items():
        loaded = checkpoint.load(out / name, expect_model=f"javisdit-v0.1/{name}")
        assert_same(loaded.tree, expected(part, sizes[name], state[name]))
        assert config_from(type(sizes[name]), index["config"][name]) == sizes[name]
    assert_same(checkpoint.load(out / "t5").tree, t5_state(sizes["t5"])[0])
    assert (out / "t5" / "tokenizer" / "spiece.model").read_bytes() == b"words"
    damage_parts(out)


def damage_parts(out):
    """Exchanged, missing and unfinished parts are named; so is an edited index."""
    verify_files(out)
    text = (out / "parts.json").read_text()
    edited = json.loads(text)
    edited["config"]["transformer"]["heads"] += 1
    (out / "parts.json").write_text(json.dumps(edited))
    with pytest.raises(CheckpointError, match="parts.json .* its digest differs"):
        read_index(out)
    (out / "parts.json").write_text(text)
    (out / "t5" / "tokenizer" / "spiece.model").write_bytes(b"sword")
    with pytest.raises(CheckpointError, match="spiece.model is damaged"):
        verify_files(out)
    manifest = out / "prior" / "manifest.json"
    manifest.write_text(manifest.read_text() + " ")
    (out / "t5" / "manifest.json").unlink()
    with pytest.raises(
        CheckpointError, match="prior is of another.*t5 is missing|t5 is"
    ):
        read_index(out)
    with pytest.raises(CheckpointError, match="no upsampler"):
        read_index(out, expect_parts=["upsampler"])
    (out / "parts.json").write_text("[]")
    with pytest.raises(CheckpointError, match="format None"):
        read_index(out)
    (out / "parts.json").unlink()
    with pytest.raises(CheckpointError, match="no whole checkpoint"):
        read_index(out)


def test_javisdit_faults_are_listed_together(tmp_path, javisdit_case, capsys):
    source, sizes, state = javisdit_case
    wrong = sizes | {"t5": replace(sizes["t5"], d_ff=40)}
    del state["transformer"]["t_block.1.bias"]
    save_file(state["transformer"], source / "transformer" / "model.safetensors")
    assert run("javisdit", source, tmp_path / "out", wrong) == 2
    message = capsys.readouterr().err
    assert "nothing gives modulation.bias" in message
    assert "encoder.layers.feed.wi_0.kernel expects (16, 40)" in message
    (source / "prior").rename(source / "elsewhere")
    assert run("javisdit", source, tmp_path / "out", sizes) == 2
    assert "lacks prior (needed:" in capsys.readouterr().err
    assert run("javisdit", source, tmp_path / "out", {"t6": sizes["t5"]}) == 2
    assert not (tmp_path / "out").exists()


def test_missing_unused_and_wrongly_shaped_keys(tmp_path, clap_case, capsys):
    folder, config, state = clap_case
    state["extra.weight"] = state.pop("text_projection.linear1.bias")
    state["text_projection.linear2.bias"] = np.ones(3, np.float32)
    save_file(state, folder / "model.safetensors")
    assert run("clap", folder, tmp_path / "out", config) == 2
    message = capsys.readouterr().err
    assert message.startswith("avits: error: 3 problems with the weights:")
    assert "unused: extra.weight" in message
    assert "missing: nothing gives text_out.first.bias" in message
    assert "text_projection.linear2.bias (3,)" in message
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("choice", ["bfloat16", "float32", None])
def test_dtypes(tmp_path, clap_case, choice):
    folder, config, state = clap_case
    bfloat16 = np.dtype(ml_dtypes.bfloat16)
    if choice != "bfloat16":
        state = {
            k: v.astype(bfloat16) if v.dtype == np.float32 else v
            for k, v in state.items()
        }
        save_file(state, folder / "model.safetensors")
    more = ("--dtype", choice) if choice else ()
    assert run("clap", folder, tmp_path / "out", config, *more) == 0
    tree = checkpoint.load(tmp_path / "out").tree
    kinds = {str(leaf.dtype) for leaf in jax.tree.leaves(tree)}
    both = {"bfloat16", "float32"}
    assert (
        kinds == {"bfloat16": both, "float32": {"float32"}, None: {"bfloat16"}}[choice]
    )
    assert tree["audio"]["mel_norm"]["mean"].dtype == (choice and "float32" or bfloat16)
    wanted = expected(find_model("clap").parts[0], config, state)
    assert_same(tree, wanted, bfloat16)


@pytest.mark.parametrize(
    "error", [KeyboardInterrupt, MemoryError, OSError("disk full")]
)
def test_interruption_leaves_nothing(tmp_path, clap_case, monkeypatch, error):
    folder, config, _ = clap_case
    model, out = find_model("clap"), tmp_path / "out"
    count = iter(range(9))

    def advance(_):
        if next(count) == 5:
            raise error

    ready = conversion.prepare(
        model, folder, sizes=config_values(config), advance=advance
    )
    with pytest.raises(error if isinstance(error, type) else OSError):
        conversion.convert(model, ready, out)
    assert [path.name for path in tmp_path.iterdir()] == ["source"]


def test_source_that_shrinks_after_the_check(tmp_path, clap_case):
    folder, config, _ = clap_case
    model, out = find_model("clap"), tmp_path / "out"
    ready = conversion.prepare(model, folder, sizes=config_values(config))
    file = folder / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-1000])
    with pytest.raises(weights.WeightsError, match="truncated"):
        conversion.convert(model, ready, out)
    assert not out.exists()


def test_targets_that_exist(tmp_path, clap_case, capsys):
    folder, config, _ = clap_case
    out = tmp_path / "out"
    out.mkdir()
    assert run("clap", folder, out, config) == 2
    assert "exists already" in capsys.readouterr().err
    assert run("clap", folder, out, config, "--overwrite") == 2
    assert "is no checkpoint" in capsys.readouterr().err
    out.rmdir()
    assert run("clap", folder, out, config) == 0
    assert run("clap", folder, out, config, "--overwrite") == 0


def test_bad_arguments(tmp_path, clap_case, capsys):
    folder, config, _ = clap_case
    out = tmp_path / "out"
    assert run("clap", tmp_path / "none", out, config) == 2
    assert capsys.readouterr().err == f"avits: error: {tmp_path}/none does not exist\n"
    for text, message in (
        ("{", "no readable JSON"),
        ("[]", "must be a JSON object"),
        ('{"widht": 3}', "ClapConfig has no 'widht'"),
        ('{"text": {"depth": "3"}}', "ClapConfig.text.depth must be int, got '3'"),
        ('{"audio": {"depths": 3}}', "ClapConfig.audio.depths must be tuple"),
        ('{"audio": 3}', "ClapConfig.audio must be an object"),
    ):
        sizes = tmp_path / "bad.json"
        sizes.write_text(text)
        flags = ["--source", folder, "--out", out, "--sizes", sizes]
        assert main(["convert", "clap", *map(str, flags)]) == 2
        error = capsys.readouterr().err
        assert message in error and error.count("\n") == 1
    flags = ["--source", "x", "--out", "y"]
    for words, message in (
        (["clep", *flags], "unknown model 'clep' (there are: audiobox, audioclip"),
        (["clap", *flags, "--dtype", "float16"], "unknown dtype 'float16'"),
        (["clap", "--source", "x", "--out", ""], "--out is empty"),
    ):
        assert main(["convert", *words]) == 2
        assert capsys.readouterr().err.startswith(f"avits: error: {message}")

"""Checkpoints whose digests fit, and whose author states sizes that nobody means."""

import json
import resource
import shutil
import time

import numpy as np
import pytest

from avits_jax.catalogue.records import shipped
from avits_jax.cli import main
from avits_jax.generators.javisdit.parts import MODEL as JAVISDIT
from avits_jax.generators.mini.parts import MODEL as MINI
from avits_jax.verifiers.clap.parts import MODEL as CLAP
from avits_jax.verifiers.video_reward.parts import MODEL as VIDEO_REWARD
from avits_jax.weights import checkpoint, manifest
from avits_jax.weights.checkpoint import CheckpointError
from avits_jax.weights.config import check_sizes, config_from, config_values
from avits_jax.weights.model import Model, read_configs
from avits_jax.weights.network import Weights

MOST_SECONDS, MOST_MEGABYTES = 10, 200  # of processor time
(TRANSFORMER,) = (part for part in JAVISDIT.parts if part.name == "transformer")
ONE = Model("transformer", (TRANSFORMER._replace(name=""),))
# Of a network: what its config states, and what is said of it.
CONFIGS = [
    (MINI, {"depth": 10**9}, r"MiniConfig.depth must be 1 to 32, got 1000000000$"),
    (MINI, {"width": 0}, r"MiniConfig.width must be 1 to 640, got 0$"),
    (MINI, {"vocab_size": -1}, r"MiniConfig.vocab_size must be 1 to 512, got -1$"),
    (MINI, {"text_depth": 0}, r"MiniConfig.text_depth must be 1 to 32, got 0$"),
    (MINI, {"max_words": 10**4000}, r"MiniConfig.max_words must be 1 to 96, got 1000"),
    (MINI, {"heads": 7}, r"MiniConfig: heads must divide width 160, got 7$"),
    (MINI, {"heads": 0}, r"MiniConfig: heads must divide width 160, got 0$"),
    (MINI, {"depth": 6.5}, r"MiniConfig.depth must be int, got 6.5$"),
    (MINI, {"depth": [6] * 10**5}, r"MiniConfig.depth must be int, got \[6, 6"),
    (MINI, {"x" * 10**5: 1}, r"MiniConfig has no 'xxx"),
    (ONE, {"mlp_ratio": 10**400}, r"TransformerConfig.mlp_ratio must be float, got 10"),
    (ONE, {"mlp_ratio": float("nan")}, r"mlp_ratio must be above 0 to 32, got nan$"),
    (ONE, {"mlp_ratio": float("inf")}, r"mlp_ratio must be above 0 to 32, got inf$"),
    (ONE, {"mlp_ratio": -4.0}, r"mlp_ratio must be above 0 to 32, got -4.0$"),
    (ONE, {"video_patch": [1, 2]}, r"TransformerConfig.video_patch must be tuple"),
    (ONE, {"video_patch": [1, 0, 2]}, r"video_patch\[1\] must be 1 to 32, got 0$"),
    (CLAP, {"audio": {"depths": [2] * 10**5}}, r"depths must have 1 to 8 entries"),
    (CLAP, {"audio": {"depths": []}}, r"depths must have 1 to 8 entries, got 0$"),
    (CLAP, {"text": {"pad_id": -1}}, r"ClapConfig.text.pad_id must be 1 to 32, got -1"),
    (CLAP, {"text": {"heads": 5}}, r"heads must divide width 768, got 5$"),
    (CLAP, {"text": [3]}, r"ClapConfig.text must be an object of sizes"),
    (
        VIDEO_REWARD,
        {"num_key_value_heads": 5},
        r"divide num_attention_heads 12, got 5$",
    ),
    (CLAP, {"audio": {"heads": [4]}}, r"fit no network: "),
]
# Of an array: what its manifest states, and what is said of it.
LEAVES = [
    ({"shape": [2**40, 3]}, r"states arrays of 2.64e\+04 GB in files of .* at most 16"),
    (
        {"shape": [2**53] * 64},
        r"must be at most 64 sizes of at most 281474976710656 num",
    ),
    ({"shape": [2**53, 0, 2]}, r"must be at most 64 sizes of at most"),
    ({"shape": [2, 300_000]}, r"a is unreadable: it has shape \(2, 3\), \(2, 300000\)"),
]


@pytest.fixture
def bounded():
    """A refusal is quick and takes little memory."""
    before, start = peak(), time.process_time()
    yield
    assert time.process_time() - start < MOST_SECONDS
    assert peak() - before < MOST_MEGABYTES


def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def stating(folder, **changes):
    """Give a checkpoint other contents, with the digest that they have."""
    file = folder / "manifest.json"
    manifest.write_sealed(file, json.loads(file.read_text()) | changes)


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """A small checkpoint."""
    folder = tmp_path_factory.mktemp("hostile") / "m"
    return checkpoint.save(folder, {"a": np.ones((2, 3))}, {"model": "m", "config": {}})


@pytest.fixture
def copied(saved, tmp_path):
    """A copy of it, to be changed."""
    return shutil.copytree(saved, tmp_path / "m")


@pytest.mark.usefixtures("bounded")
@pytest.mark.parametrize("model, config, message", CONFIGS)
def test_a_config_is_bounded(copied, model, config, message):
    stating(copied, model=model.name, config=config)
    with pytest.raises(CheckpointError, match=message) as error:
        read_configs(model, Weights(copied))
    assert "\n" not in str(error.value) and len(str(error.value)) < 500
    assert str(copied) in str(error.value)


@pytest.mark.usefixtures("bounded")
@pytest.mark.parametrize("leaf, message", LEAVES)
def test_arrays_are_no_larger_than_their_files(copied, leaf, message):
    described = json.loads((copied / "manifest.json").read_text())["leaves"][0] | leaf
    stating(copied, leaves=[described], total_bytes=manifest.num_bytes(described))
    with pytest.raises(CheckpointError, match=message) as error:
        checkpoint.load(copied)
    assert "\n" not in str(error.value)


def test_a_chunk_is_unpacked_no_further_than_its_array(copied):
    """The author's own chunk has 50 KB, and unpacks to 512 MiB."""
    import tensorstore as ts

    store = {"driver": "ocdbt", "base": f"file://{copied}/arrays/"}
    files = ts.KvStore.open(store).result()
    layout = json.loads(files.read("a/zarr.json").result().value)
    grid = {"name": "regular", "configuration": {"chunk_shape": [2**13, 2**13]}}
    large = layout | {"shape": [2**13, 2**13], "chunk_grid": grid}
    files.write("b/zarr.json", json.dumps(large)).result()
    spec = {"driver": "zarr3", "kvstore": {**store, "path": "b/"}, "open": True}
    ones = ts.open(spec).result()
    ones.write(np.broadcast_to(np.float64(1), ones.shape)).result()
    before = peak()
    files.write("a/c/0/0", files.read("b/c/0/0").result().value).result()
    files.delete_range(ts.KvStore.KeyRange("b/", "b0")).result()
    described = manifest.describe_files(copied)
    stating(copied, files=[x for x in described if x["path"] != "manifest.json"])
    with pytest.raises(
        CheckpointError, match="a is unreadable: .*End of data expected"
    ):
        checkpoint.load(copied)
    assert peak() - before < MOST_MEGABYTES


def test_the_bytes_of_all_arrays_are_as_stated(copied):
    stating(copied, total_bytes=10**15)
    with pytest.raises(CheckpointError, match="take 48 bytes, it says 10000000000"):
        checkpoint.load(copied)


@pytest.mark.usefixtures("bounded")
def test_a_manifest_is_bounded(copied):
    with (copied / "manifest.json").open("a") as file:
        file.write(" " * 2**24)
    with pytest.raises(CheckpointError, match="more than 16 MiB"):
        checkpoint.load(copied)


def test_what_could_not_be_read_again_is_not_written(tmp_path):
    zeros = np.zeros(2**24 + 2**20, np.float32)
    with pytest.raises(CheckpointError, match="states arrays of 0.0713 GB in files"):
        checkpoint.save(tmp_path / "m", {"a": zeros}, {"model": "m"})
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("model", [MINI, JAVISDIT, CLAP, VIDEO_REWARD])
def test_published_and_reduced_sizes_are_accepted(model):
    for part in model.parts:
        for config in (part.config, model.reduced.get(part.name, part.config)):
            values = json.loads(json.dumps(config_values(config)))
            assert config_from(type(config), values) == config
            check_sizes(config, part.config)


@pytest.mark.usefixtures("bounded")
def test_the_command_ends_in_one_line(tmp_path, capsys):
    folder = shutil.copytree(shipped("mini/generator"), tmp_path / "generator")
    stating(folder, config={"heads": 7})
    flags = ["--model", str(folder), "--out", str(tmp_path / "out")]
    assert main(["generate", "a red circle", *flags]) == 2
    printed = capsys.readouterr().err
    assert "heads must divide width 160, got 7" in printed and printed.count("\n") == 1
    assert not (tmp_path / "out").exists()

"""Checkpoints: round trips, atomic writing, and every kind of damage."""

import json
import time
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from avits_jax.weights import checkpoint
from avits_jax.weights.checkpoint import CheckpointError

METADATA = {"model": "toy", "config": {"width": 4, "rates": [8.0, 16000]}}


class State(NamedTuple):
    """A tree that is no dict."""

    count: jax.Array
    moments: tuple[jax.Array, dict[str, jax.Array]]


def make_tree():
    """Return a tree of many kinds of leaves and containers."""
    return {
        "dense": {
            "kernel": jnp.arange(12, dtype=jnp.float32).reshape(3, 4) / 7,
            "bias": jnp.ones(4, jnp.bfloat16),
        },
        "blocks": [{"w": jnp.full((2,), i, jnp.int32)} for i in range(11)],
        "layers": {0: jnp.float32(0.5), 1: jnp.zeros((0, 3))},
    }


def assert_same(one, other):
    assert jax.tree.structure(one) == jax.tree.structure(other)
    for a, b in zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True):
        assert a.dtype == b.dtype
        np.testing.assert_array_equal(np.asarray(a), np.asarray(b))


@pytest.fixture
def saved(tmp_path):
    """A checkpoint on disk."""
    return checkpoint.save(tmp_path / "toy", make_tree(), METADATA)


def test_round_trip_without_structure(saved):
    loaded = checkpoint.load(saved, expect_model="toy")
    assert_same(loaded.tree, make_tree())
    assert loaded.metadata == METADATA
    assert [path.name for path in saved.parent.iterdir()] == ["toy"]


def test_round_trip_through_like(tmp_path):
    state = State(jnp.int32(3), (jnp.ones(2), {"a": jnp.zeros((2, 2))}))
    folder = checkpoint.save(tmp_path / "state", state, {"model": "arw"})
    abstract = jax.eval_shape(lambda: state)
    assert_same(checkpoint.load(folder, like=abstract).tree, state)


def test_like_casts_to_its_dtypes(saved):
    like = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, "float16"), make_tree())
    tree = checkpoint.load(saved, like=like).tree
    assert {leaf.dtype for leaf in jax.tree.leaves(tree)} == {jnp.dtype("float16")}
    np.testing.assert_array_equal(
        tree["dense"]["kernel"],
        make_tree()["dense"]["kernel"].astype(jnp.float16),
    )


def test_a_bare_array_and_an_empty_tree(tmp_path):
    folder = checkpoint.save(tmp_path / "array", jnp.arange(3), {"model": "x"})
    np.testing.assert_array_equal(checkpoint.load(folder).tree, [0, 1, 2])
    folder = checkpoint.save(tmp_path / "empty", (), {"model": "x"})
    assert checkpoint.load(folder, like=()).tree == ()


def test_loads_into_a_sharding(saved):
    mesh = Mesh(np.array(jax.devices()[:1]), ("model",))
    sharding = NamedSharding(mesh, PartitionSpec())
    for wanted in (sharding, jax.tree.map(lambda _: sharding, make_tree())):
        tree = checkpoint.load(saved, like=make_tree(), sharding=wanted).tree
        assert {leaf.sharding for leaf in jax.tree.leaves(tree)} == {sharding}
        assert_same(tree, make_tree())


def test_manifest_describes_the_leaves(saved):
    manifest = checkpoint.read_manifest(saved)
    leaves = {leaf["path"]: leaf for leaf in manifest["leaves"]}
    assert leaves["dense/kernel"]["shape"] == [3, 4]
    assert leaves["dense/bias"]["dtype"] == "bfloat16"
    assert leaves["blocks/10/w"]["shape"] == [2]
    nbytes = sum(leaf.nbytes for leaf in jax.tree.leaves(make_tree()))
    assert manifest["total_bytes"] == nbytes


def test_files_name_no_folder_of_the_machine(saved):
    parent = str(saved.parent).encode()
    assert not [f for f in saved.rglob("*") if f.is_file() and parent in f.read_bytes()]


def test_existing_folders_are_kept(saved, tmp_path):
    with pytest.raises(CheckpointError, match="exists already"):
        checkpoint.save(saved, {"w": jnp.ones(2)}, METADATA)
    (tmp_path / "photos").mkdir()
    with pytest.raises(CheckpointError, match="it is no checkpoint"):
        checkpoint.save(tmp_path / "photos", {}, METADATA, overwrite=True)
    assert_same(checkpoint.load(saved).tree, make_tree())
    checkpoint.save(saved, {"w": jnp.ones(2)}, METADATA, overwrite=True)
    assert_same(checkpoint.load(saved).tree, {"w": jnp.ones(2)})
    assert sorted(p.name for p in tmp_path.iterdir()) == ["photos", "toy"]


def test_interrupted_save_leaves_nothing(tmp_path, monkeypatch):
    def interrupted(folder, arrays):
        folder.mkdir()
        raise KeyboardInterrupt

    monkeypatch.setattr(checkpoint, "_write_arrays", interrupted)
    with pytest.raises(KeyboardInterrupt):
        checkpoint.save(tmp_path / "toy", make_tree(), METADATA)
    assert list(tmp_path.iterdir()) == []


def fault(folder, **arguments):
    """Return the message of a checkpoint that must be refused; one line."""
    with pytest.raises(CheckpointError) as caught:
        checkpoint.load(folder, **arguments)
    message = str(caught.value)
    assert "\n" not in message and folder.name in message
    return message


def test_missing_and_foreign_folders(tmp_path):
    assert "does not exist" in fault(tmp_path / "none")
    (tmp_path / "photos").mkdir()
    assert "no manifest.json" in fault(tmp_path / "photos")


def test_damaged_manifests(saved):
    manifest = saved / "manifest.json"
    text = manifest.read_text()
    manifest.write_text(text[: len(text) // 2])
    assert "not JSON" in fault(saved)
    manifest.write_text("[]")
    assert "format None" in fault(saved)
    manifest.write_text(json.dumps(json.loads(text) | {"format": 99}))
    assert "format 99, not 1" in fault(saved)
    manifest.write_text(json.dumps({"format": 1, "model": "toy"}))
    assert "no 'files'" in fault(saved)


def test_every_truncated_missing_or_changed_file_is_found(saved):
    files = [path for path in (saved / "arrays").rglob("*") if path.is_file()]
    assert files
    for path in files:
        content = path.read_bytes()
        path.write_bytes(content[:-1])
        message = fault(saved, verify=False)
        assert path.name in message and "bytes" in message
        path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
        assert "sha256 differs" in fault(saved)
        path.unlink()
        assert "incomplete" in fault(saved)
        path.write_bytes(content)
    assert_same(checkpoint.load(saved).tree, make_tree())


def test_other_model_and_other_shapes(saved):
    assert "of 'toy', not 'mini'" in fault(saved, expect_model="mini")
    like = make_tree()
    like["dense"]["kernel"] = jnp.zeros((5, 4))
    like["dense"]["scale"] = like["dense"].pop("bias")
    message = fault(saved, like=like)
    assert "dense/kernel is (3, 4), (5, 4) expected" in message
    assert "dense/scale is missing" in message
    assert "dense/bias is unknown" in message
    many = {f"w{i}": jnp.ones(1) for i in range(30)}
    assert "more" in fault(saved, like=many)


@pytest.mark.parametrize("metadata", [{}, {"model": 3}, {"model": "x", "files": []}])
def test_metadata_is_checked(tmp_path, metadata):
    with pytest.raises(ValueError, match="metadata"):
        checkpoint.save(tmp_path / "toy", make_tree(), metadata)
    assert list(tmp_path.iterdir()) == []


def test_leaves_that_are_no_numbers_are_refused(tmp_path):
    with pytest.raises(TypeError, match="key_data"):
        checkpoint.save(tmp_path / "x", {"key": jax.random.key(0)}, METADATA)
    with pytest.raises(TypeError, match="leaf name is no numeric array"):
        checkpoint.save(tmp_path / "x", {"name": "mini"}, METADATA)
    with pytest.raises(TypeError, match="share the path 'a/b'"):
        tree = {"a/b": jnp.ones(1), "a": {"b": jnp.ones(1)}}
        checkpoint.save(tmp_path / "x", tree, METADATA)
    with pytest.raises(ValueError, match="sharding has 1 leaves, the tree 2"):
        folder = checkpoint.save(tmp_path / "y", {"a": 1, "b": 2}, METADATA)
        one = {"a": jax.sharding.SingleDeviceSharding(jax.devices()[0])}
        checkpoint.load(folder, sharding=one)


def test_loading_is_quick(tmp_path):
    rng = np.random.default_rng(0)
    tree = {f"w{i}": rng.normal(size=(250, 1000)).astype("float32") for i in range(20)}
    folder = checkpoint.save(tmp_path / "mini", tree, METADATA)
    started = time.perf_counter()
    checkpoint.load(folder)
    assert time.perf_counter() - started < 2.0  # 20 MB; a tenth of it when idle


def test_arrays_are_read_in_groups(saved, monkeypatch):
    sizes = {"a": (3,), "b": (0, 2), "c": (4,), "d": (9,), "e": (1,)}
    structs = {k: jax.ShapeDtypeStruct(v, jnp.float32) for k, v in sizes.items()}
    monkeypatch.setattr(checkpoint, "_READ_AT_ONCE", 8)
    groups = [list(group) for group in checkpoint._groups(structs)]
    assert groups == [["a", "c"], ["d"], ["e"]]
    assert_same(checkpoint.load(saved).tree, make_tree())

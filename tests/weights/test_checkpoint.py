"""Checkpoints: round trips, atomic writing, and every kind of damage."""

import json
import time
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from avits_jax.weights import checkpoint, lazy, manifest, parts, reading, writing
from avits_jax.weights.checkpoint import CheckpointError
from avits_jax.weights.lazy import LazyArray

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
    content = checkpoint.read_manifest(saved)
    leaves = {leaf["path"]: leaf for leaf in content["leaves"]}
    assert leaves["dense/kernel"]["shape"] == [3, 4]
    assert leaves["dense/bias"]["dtype"] == "bfloat16"
    assert leaves["blocks/10/w"]["shape"] == [2]
    nbytes = sum(leaf.nbytes for leaf in jax.tree.leaves(make_tree()))
    assert content["total_bytes"] == nbytes


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
    file = saved / "manifest.json"
    text = file.read_text()
    file.write_text(text[: len(text) // 2])
    assert "not JSON" in fault(saved)
    file.write_text("[]")
    assert "format None" in fault(saved)
    file.write_text(json.dumps(json.loads(text) | {"format": 1}))
    assert "format 1, not 2: convert the published weights again" in fault(saved)
    file.write_text(json.dumps({"format": 2, "model": "toy"}))
    assert "no 'digest'" in fault(saved)
    file.write_text(json.dumps(json.loads(text)))  # laid out in another way
    assert checkpoint.load(saved).metadata == METADATA


def test_every_change_of_a_manifest_is_found(saved):
    """Also of the sizes, which no file's digest covers."""
    file = saved / "manifest.json"
    content = json.loads(file.read_text())
    changes = {"model": "toi", "config": {"width": 5}, "leaves": [], "digest": "0"}
    for name, value in changes.items():
        file.write_text(json.dumps(content | {name: value}))
        assert "its digest differs" in fault(saved)


@pytest.mark.parametrize("name", ["leaves", "files", "total_bytes", "model"])
def test_keys_that_a_manifest_lacks_are_named(saved, name):
    file = saved / "manifest.json"
    content = json.loads(file.read_text())
    if isinstance(content[name], list):
        for key in content[name][0]:
            entries = [{k: v for k, v in content[name][0].items() if k != key}]
            manifest.write_sealed(file, content | {name: entries})
            assert f"no {key!r} in {name!r}" in fault(saved)
    del content[name]
    manifest.write_sealed(file, content)
    assert f"no {name!r}" in fault(saved)


def test_every_truncated_missing_or_changed_file_is_found(saved):
    files = [path for path in (saved / "arrays").rglob("*") if path.is_file()]
    assert files
    for path in files:
        content = path.read_bytes()
        path.write_bytes(content[:-1])
        message = fault(saved)
        assert path.name in message and "bytes" in message
        path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
        assert "sha256 differs" in fault(saved)
        path.unlink()
        assert "incomplete" in fault(saved)
        path.write_bytes(content)
    assert_same(checkpoint.load(saved).tree, make_tree())


def large_tree(lazy):
    """Leaves whose chunks fill a file that is not hashed when it is read."""
    rng = np.random.default_rng(0)
    tree = {f"w{i}": rng.normal(size=(2**9, 2**9)).astype("float32") for i in range(3)}
    if not lazy:
        return tree
    return {
        name: LazyArray(w.shape, w.dtype, 0, lambda w=w: [((), w)])
        for name, w in tree.items()
    }


@pytest.mark.parametrize("lazy", [False, True])
@pytest.mark.parametrize("places", ["host", "mesh"])
def test_the_store_finds_every_flipped_byte(tmp_path, monkeypatch, capfd, lazy, places):
    monkeypatch.setattr(manifest, "_CHECKED_BY_STORE", 2**17)
    folder = checkpoint.save(tmp_path / "toy", large_tree(lazy), METADATA)
    mesh = Mesh(np.array(jax.devices()[:1]), ("model",))
    sharding = NamedSharding(mesh, PartitionSpec("model"))
    options = {"sharding": sharding} if places == "mesh" else {}
    files = [x for x in (folder / "arrays").rglob("*") if x.stat().st_size > 2**17]
    files = [path for path in files if path.is_file()]
    assert sum(path.stat().st_size for path in files) > 2 * 2**20
    for path in files:
        content = path.read_bytes()
        for place in np.linspace(0, 2**17, 5).astype(int):
            changed = bytearray(content)
            changed[place] ^= 1
            path.write_bytes(changed)
            assert "is damaged: w" in fault(folder, **options)
            with pytest.raises(CheckpointError, match="sha256 differs"):
                parts.verify_files(folder)
        path.write_bytes(content)
    assert_same(checkpoint.load(folder, **options).tree, large_tree(False))
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("chunk_bytes", [1000, lazy.CHUNK_BYTES])
def test_slices_of_every_size(tmp_path, monkeypatch, chunk_bytes):
    """Many to a commit, or cut into several chunks."""
    monkeypatch.setattr("avits_jax.weights.lazy.CHUNK_BYTES", chunk_bytes)
    shapes = [(3, 2), (2, 2, 300), (4, 100), (7,), (2, 249), (1, 250), (3, 2)]
    tree = {
        f"{i}": np.arange(np.prod(shape), dtype=np.float32).reshape(shape) + i
        for i, shape in enumerate(shapes * 3)
    }
    lazy = {
        name: LazyArray(w.shape, w.dtype, w.ndim - 1, partial(np_slices, w))
        for name, w in tree.items()
    }
    folder = checkpoint.save(tmp_path / "toy", lazy, METADATA)
    found = checkpoint.load(folder).tree
    assert_same(found, jax.tree.map(jnp.asarray, tree))
    # Each commit writes a file, and the file system is waited for.
    commits = len(list((folder / "arrays").rglob("d/*")))
    assert commits < 10 if chunk_bytes > 1000 else commits > 20


def np_slices(array):
    """Slices along all axes but the last, with their indices."""
    return ((index, array[index]) for index in np.ndindex(array.shape[:-1]))


def test_what_is_hashed_at_a_load(saved, monkeypatch):
    """The large files of the store only when that is asked for."""
    seen = []
    digest = manifest.sha256
    monkeypatch.setattr(manifest, "_CHECKED_BY_STORE", 500)
    monkeypatch.setattr(manifest, "sha256", lambda x: seen.append(x) or digest(x))
    files = {path for path in saved.rglob("*") if path.is_file()}
    files.remove(saved / "manifest.json")
    checkpoint.load(saved)
    assert {x for x in files if x.stat().st_size <= 500} == set(seen) < files
    for look in (lambda: checkpoint.load(saved, verify=True), parts.verify_files):
        seen.clear()
        look(*([saved] if look is parts.verify_files else []))
        assert set(seen) == files


def test_orbax_reads_what_is_written(saved):
    """Anyone can, without this package."""
    import orbax.checkpoint as ocp

    with ocp.PyTreeCheckpointer() as checkpointer:
        found = checkpointer.restore(saved / "arrays")
    np.testing.assert_array_equal(found["dense/kernel"], make_tree()["dense"]["kernel"])


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
    monkeypatch.setattr(reading, "_READ_AT_ONCE", 8)
    groups = [list(group) for group in reading._groups(structs)]
    assert groups == [["a", "c"], ["d"], ["e"]]
    assert_same(checkpoint.load(saved).tree, make_tree())


def reseal(folder, change):
    """Change a manifest as someone does who knows how its digest is made."""
    file = folder / "manifest.json"
    content = json.loads(file.read_text())
    change(content)
    manifest.write_sealed(file, content)


LEAF = {"path": "a", "keys": ["a"], "shape": [1], "dtype": "float32"}
HOSTILE_LEAVES = {
    "a path outside": [LEAF | {"path": "../a"}],
    "an absolute path": [LEAF | {"path": "/etc/passwd"}],
    "no text as path": [LEAF | {"path": 5}],
    "no list of keys": [LEAF | {"keys": {"a": 1}}],
    "keys in keys": [LEAF | {"keys": [[["a"]]]}],
    "many keys": [LEAF | {"keys": ["a"] * 1000}],
    "a negative size": [LEAF | {"shape": [-1]}],
    "a size that is no number": [LEAF | {"shape": [True]}],
    "many axes": [LEAF | {"shape": [1] * 1000}],
    "objects": [LEAF | {"dtype": "object"}],
    "text": [LEAF | {"dtype": "U5"}],
    "an unknown dtype": [LEAF | {"dtype": "float3"}],
    "a number as leaf": [5],
    "a leaf inside a leaf": [LEAF, LEAF | {"path": "a/b", "keys": ["a", "b"]}],
    "names and numbers": [LEAF, LEAF | {"path": "0", "keys": [[0]]}],
    "an array that is not there": [LEAF],
}


@pytest.mark.parametrize("name", HOSTILE_LEAVES)
def test_hostile_leaves_are_refused(saved, name):
    reseal(saved, lambda content: content.update(leaves=HOSTILE_LEAVES[name]))
    assert "damaged" in fault(saved)


@pytest.mark.parametrize(
    "change",
    [
        {"files": [{"path": "../x", "size": 1, "sha256": ""}]},
        {"files": [{"path": "a", "size": "1", "sha256": ""}]},
        {"files": {"path": 1}},
        {"leaves": "all"},
        {"config": [1]},
        {"model": ["toy"]},
    ],
)
def test_hostile_manifests_are_refused(saved, change):
    reseal(saved, lambda content: content.update(change))
    assert "manifest.json is damaged: it has a wrong value" in fault(saved)


@pytest.mark.parametrize("text", ["[" * 99_999, '{"a":' * 99_999, '{"a": 1, "a": 2}'])
def test_json_that_no_manifest_is(saved, text):
    (saved / "manifest.json").write_text(text)
    assert "not JSON" in fault(saved)


@pytest.mark.parametrize("names", [["toy"], {"../toy": ""}, {"toy": 5}, {"a/b": ""}])
def test_hostile_indices_of_parts(saved, names):
    content = {"model": "m", "parts": names}
    manifest.write_sealed(saved.parent / "parts.json", content)
    with pytest.raises(CheckpointError, match="parts.json is damaged: it has a wrong"):
        parts.read_index(saved.parent)


def other_array(folder, path, shape, chunks, *, fill=True):
    """Put another array into the store, as it would be read."""
    import tensorstore as ts

    spec = reading._spec(folder / "arrays", path) | {"create": True, "open": True}
    spec["delete_existing"] = True
    grid = {"name": "regular", "configuration": {"chunk_shape": chunks}}
    spec["metadata"] = {"shape": shape, "data_type": "float32", "chunk_grid": grid}
    spec["metadata"]["codecs"] = writing._CODECS
    store = ts.open(spec | {"open": False}).result()
    if fill:
        store[...] = 1.0

    def described(content):
        content["files"] = manifest.describe_files(folder)
        content["files"] = [x for x in content["files"] if "json" not in x["path"]]

    reseal(folder, described)


@pytest.mark.parametrize(
    ("shape", "chunks", "fill", "message"),
    [
        ([3, 4], [3, 4], False, "unreadable"),  # zeros would be wrong numbers
        ([2**20, 2**20], [8, 8], False, "it has shape .* expected"),
        ([3, 4], [2**14, 2**14], False, "it lies in chunks of"),
    ],
)
def test_hostile_arrays_are_refused(saved, shape, chunks, fill, message):
    other_array(saved, "dense/kernel", shape, chunks, fill=fill)
    with pytest.raises(CheckpointError, match=message):
        checkpoint.load(saved)

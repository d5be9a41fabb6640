"""Checkpoints in a store: copied once, whole and checked, found by every name."""

from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest

from avits_jax import converting
from avits_jax.catalogue import resolve
from avits_jax.cli import main
from avits_jax.files.resources import data_folder
from avits_jax.weights import checkpoint
from avits_jax.weights.manifest import CheckpointError
from avits_jax.weights.parts import write_index
from avits_jax.weights.stored import local_checkpoint

PLACE = "gs://bucket/checkpoints/net"


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    """The folder of the copies."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "avits_jax" / "checkpoints"


def upload(bucket, folder, place=PLACE):
    for path in Path(folder).rglob("*"):
        if path.is_file():
            name = path.relative_to(folder).as_posix()
            bucket.put(f"{place}/{name}", path.read_bytes())


@pytest.fixture
def network(tmp_path, bucket):
    """A checkpoint of one network, which lies in the store as well."""
    tree = {"w": jnp.arange(6.0).reshape(2, 3)}
    folder = checkpoint.save(tmp_path / "net", tree, {"model": "net"})
    upload(bucket, folder)
    return folder


def folders(cache):
    return [path for path in cache.iterdir() if path.is_dir()]


def test_a_copy_is_made_once_and_reads_the_same(network, bucket, cache, monkeypatch):
    copy = local_checkpoint(PLACE)
    assert folders(cache) == [copy]
    tree = checkpoint.load(copy, verify=True).tree
    np.testing.assert_array_equal(tree["w"], np.arange(6.0).reshape(2, 3))
    monkeypatch.setattr(bucket, "get_file", None)  # nothing is fetched again
    assert local_checkpoint(PLACE) == copy
    assert local_checkpoint(network) == network
    assert local_checkpoint("gs://bucket/nothing") is None


def test_another_checkpoint_there_is_another_copy(network, bucket, tmp_path):
    first = local_checkpoint(PLACE)
    tree = {"w": jnp.zeros((2, 3))}
    upload(bucket, checkpoint.save(tmp_path / "other", tree, {"model": "net"}))
    second = local_checkpoint(PLACE)
    assert second != first and not checkpoint.load(second).tree["w"].any()
    assert checkpoint.load(first).tree["w"].any()


def test_a_damaged_or_missing_file_leaves_no_copy(network, bucket, cache):
    found = bucket.contents(PLACE)
    name = max(
        (n for n in found if n.startswith("arrays/")), key=lambda n: len(found[n])
    )
    data = found[name]
    bucket.put(f"{PLACE}/{name}", bytes([data[0] ^ 1]) + data[1:])
    with pytest.raises(CheckpointError, match=f"{PLACE}/{name} is damaged: sha256"):
        local_checkpoint(PLACE)
    del bucket.store[f"/bucket/checkpoints/net/{name}"]
    with pytest.raises(OSError, match=f"{PLACE}: there is no"):
        local_checkpoint(PLACE)
    assert folders(cache) == []
    bucket.put(f"{PLACE}/{name}", data)
    assert local_checkpoint(PLACE).is_dir()


def test_a_manifest_that_names_other_places_is_refused(network, bucket, cache):
    text = bucket.contents(PLACE)["manifest.json"]
    bucket.put(f"{PLACE}/manifest.json", text.replace(b'"arrays/', b'"../arrays/', 1))
    with pytest.raises(CheckpointError, match="damaged or was edited"):
        local_checkpoint(PLACE)
    assert folders(cache) == []


def test_a_checkpoint_in_parts_is_copied_whole(tmp_path, bucket, cache):
    for part in ("one", "two"):
        tree = {"w": jnp.full(3, len(part))}
        checkpoint.save(tmp_path / "net" / part, tree, {"model": f"net/{part}"})
    write_index(tmp_path / "net", ["one", "two"], {"model": "net", "config": {}})
    upload(bucket, tmp_path / "net")
    copy = local_checkpoint(PLACE)
    names = sorted(path.name for path in copy.iterdir())
    assert names == ["one", "parts.json", "two"]
    assert checkpoint.load(copy / "two").tree["w"].shape == (3,)


def test_models_are_named_by_an_address(bucket):
    upload(
        bucket, data_folder("checkpoints") / "mini" / "generator", "s3://bucket/mini"
    )
    found = resolve.resolve_model("s3://bucket/mini")
    assert found.info.name == "mini" and found.name == "s3://bucket/mini"
    assert found.digest == resolve.resolve_model("mini").digest != "none"
    with pytest.raises(ValueError, match="s3://bucket/none: there is no checkpoint"):
        resolve.resolve_model("s3://bucket/none")


def test_verifiers_are_named_by_an_address(network, bucket):
    found = resolve.resolve_verifier(f"clap@{PLACE}:bench")
    assert found.request.mode == "bench" and found.folder == local_checkpoint(PLACE)
    with pytest.raises(
        ValueError, match="checkpoint gs://bucket/none of verifier clap"
    ):
        resolve.resolve_verifier("clap@gs://bucket/none")


def test_all_checkpoints_lie_in_a_store(network, bucket, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("AVITS_CHECKPOINTS", "gs://bucket/checkpoints")
    assert resolve.resolve_model("mini").folder.is_dir()
    with pytest.raises(ValueError, match="the weights of clap are not at"):
        resolve.resolve_verifier("clap")
    assert resolve.resolve_verifier("clap", random_weights=True).drawn
    upload(bucket, network, "gs://bucket/checkpoints/clap")
    found = resolve.resolve_verifier("clap")
    assert found.folder == local_checkpoint(PLACE) and not found.drawn


def test_a_listing_copies_nothing(bucket, monkeypatch, tmp_path, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("AVITS_CHECKPOINTS", "gs://bucket/checkpoints")
    monkeypatch.setattr(bucket, "cat_file", None)
    assert main(["list"]) == 0
    printed = capsys.readouterr().out
    assert "Copied from gs://bucket/checkpoints if they are there" in printed
    monkeypatch.setenv("AVITS_CHECKPOINTS", "ftp://host/checkpoints")
    assert main(["list"]) == 2
    assert "ftp://host/checkpoints is in no store" in capsys.readouterr().err


def test_checkpoints_are_saved_on_this_machine(bucket):
    with pytest.raises(ValueError, match="folder must be on this machine, got gs://"):
        checkpoint.save("gs://bucket/net", {"w": jnp.ones(2)}, {"model": "net"})
    with pytest.raises(ValueError, match="out must be on this machine, got gs://b"):
        converting.check_target(Path("gs://bucket/net"), overwrite=True)
    assert not bucket.store

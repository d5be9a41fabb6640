"""Addresses of stores, what they need installed, and what goes wrong with them."""

from pathlib import Path

import memory_store
import pytest

from avits_jax.files.copies import added_files, local_file, whole_folder
from avits_jax.files.stores import (
    NoObjectError,
    StoreError,
    address_of,
    check_local,
    inside,
    open_store,
)


@pytest.mark.parametrize(
    ("place", "address"),
    [
        ("gs://bucket/run/", "gs://bucket/run"),
        ("S3://bucket/a/b", "s3://bucket/a/b"),
        (Path("gs://bucket/run"), "gs://bucket/run"),  # it has lost a slash
        ("runs/first", None),
        ("/gs://bucket", None),
        ("C:/runs", None),
        ("notes:/first", None),
        ("", None),
    ],
)
def test_addresses_are_told_from_paths(place, address):
    assert address_of(place) == address


@pytest.mark.parametrize(
    ("place", "message"),
    [
        ("ftp://host/run", "ftp://host/run is in no store .* use gs://, s3:// or a"),
        ("file:///tmp/run", "file:///tmp/run is in no store"),
        ("gs://", "gs:// names no bucket"),
    ],
)
def test_other_addresses_are_refused(place, message):
    with pytest.raises(ValueError, match=message):
        open_store(place)


@pytest.mark.parametrize(("scheme", "package"), [("gs", "gcsfs"), ("s3", "s3fs")])
def test_what_to_install_is_said(scheme, package, monkeypatch):
    memory_store.uninstall(monkeypatch)
    message = rf"needs {package}, .* pip install 'avits_jax\[cloud\]'"
    with pytest.raises(ValueError, match=message):
        open_store(f"{scheme}://bucket/run")


def test_what_needs_this_machine_says_so():
    check_local("runs/first", "out")
    with pytest.raises(ValueError, match="out must be on this machine, got gs://b/run"):
        check_local("gs://b/run", "out")


def test_objects_are_listed_read_and_deleted(bucket, tmp_path):
    store = open_store("gs://bucket/run")
    assert store.names() == store.top_names() == [] and store.read("a") is None
    store.write("a", b"1")
    store.write("more/b", b"2")
    bucket.put("gs://bucket/running/c", b"of another folder")
    assert store.names() == ["a", "more/b"] and store.top_names() == ["a", "more"]
    assert list(store.read_all(["more/b", "a"])) == [b"2", b"1"]
    assert store.exists("a") and not store.exists("b") and not store.exists("more")
    with pytest.raises(NoObjectError, match="gs://bucket/run/c is missing"):
        list(store.read_all(["a", "c"]))
    store.download([("more/b", tmp_path / "x" / "b")])
    assert (tmp_path / "x" / "b").read_bytes() == b"2"
    with pytest.raises(StoreError, match="no name of a file"):
        store.download([("../running/c", tmp_path / "c")])
    store.check_writable()
    store.delete(["a"])
    assert store.names() == ["more/b"]


def test_refusals_name_the_store_in_one_line(bucket):
    def refuse(path):
        raise RuntimeError("403 Forbidden\nyou may\n not")

    bucket.before = staticmethod(refuse)
    with pytest.raises(StoreError, match="^s3://b/run: 403 Forbidden you may not$"):
        open_store("s3://b/run").check_writable()


def test_a_copy_is_made_anew_when_the_object_is(bucket):
    bucket.put("gs://bucket/p.txt", b"one")
    first = local_file("gs://bucket/p.txt")
    assert first.name == "p.txt" and first.read_bytes() == b"one"
    assert local_file("gs://bucket/p.txt") == first
    bucket.put("gs://bucket/p.txt", b"another")
    assert local_file("gs://bucket/p.txt").read_bytes() == b"another"
    assert local_file("here.txt") == Path("here.txt")


def test_a_whole_folder_is_replaced_and_its_mark_comes_last(bucket):
    for name in ("old", "mark", "kept"):
        bucket.put(f"gs://bucket/run/{name}", b"before")
    seen = []
    bucket.before = staticmethod(
        lambda path: seen.append(sorted(bucket.contents("gs://bucket/run")))
    )
    with whole_folder("gs://bucket/run", last="mark") as folder:
        (folder / "mark").write_text("now")
        (folder / "kept").write_text("now")
        (folder / "sub").mkdir()
        (folder / "sub" / "new").write_text("now")
    found = bucket.contents("gs://bucket/run")
    assert found == dict.fromkeys(["mark", "kept", "sub/new"], b"now")
    assert "mark" not in seen[0] and "sub/new" in seen[-1]
    assert bucket.written[-1] == "bucket/run/mark"


def test_a_failed_folder_leaves_the_store_as_it_was(bucket):
    bucket.put("gs://bucket/run/mark", b"before")
    with pytest.raises(ValueError, match="^gs://bucket/run/x is wrong$"):
        with whole_folder("gs://bucket/run", last="mark") as folder:
            raise ValueError(f"{folder / 'x'} is wrong")
    assert bucket.contents("gs://bucket/run") == {"mark": b"before"}


def test_files_are_added_here_and_there(bucket, tmp_path):
    for place in (tmp_path / "study", "gs://bucket/study"):
        with added_files(place) as folder:
            (folder / "page").write_text("x")
    assert (tmp_path / "study" / "page").read_text() == "x"
    assert bucket.contents("gs://bucket/study") == {"page": b"x"}
    assert inside("gs://bucket/study", "page") == "gs://bucket/study/page"
    assert inside("runs/", "page") == str(Path("runs", "page"))

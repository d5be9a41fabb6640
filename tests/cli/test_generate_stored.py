"""avits generate into a store: the finished folder, uploaded, its results last."""

import json
import os
from pathlib import Path

import memory_store
import pytest

from avits_jax.cli import main, program

PLACE = "s3://bucket/first"


@pytest.fixture
def run(toy_backend, toy_flags, monkeypatch):
    """Return a function that runs ``avits generate``; gives the exit status."""
    return lambda *flags: main(["generate", "a circle", *toy_flags, *flags])


def test_the_folder_is_that_of_a_local_run(run, bucket, no_pictures, capsys):
    assert run("--out", "here") == 0 and run("--out", PLACE) == 0
    found = bucket.contents(PLACE)
    here = {
        path.relative_to("here").as_posix(): path.read_bytes()
        for path in Path("here").rglob("*")
        if path.is_file()
    }
    assert found.keys() == here.keys() and found["best.mp4"] == here["best.mp4"]
    assert found["config.toml"] == here["config.toml"]
    candidates = [
        json.loads(each["results.json"])["candidates"] for each in (found, here)
    ]
    assert candidates[0] == candidates[1]
    assert bucket.written[-1] == "bucket/first/results.json"
    printed = capsys.readouterr().out
    assert f"best clip  {PLACE}/best.mp4\nreport     {PLACE}/report.html" in printed
    assert not os.path.exists("s3:")


def test_only_a_run_is_replaced_and_only_when_asked(run, bucket, no_pictures, capsys):
    assert run("--out", PLACE) == 0
    bucket.put(f"{PLACE}/candidates/old.mp4", b"stale")
    before = bucket.contents(PLACE)
    assert run("--out", PLACE) == 2 and bucket.contents(PLACE) == before
    assert f"--out {PLACE} exists; --force replaces it" in capsys.readouterr().err
    assert run("--out", PLACE, "--force", "--seed", "1") == 0
    after = bucket.contents(PLACE)
    assert after.keys() == before.keys() - {"candidates/old.mp4"}
    assert after["best.mp4"] != before["best.mp4"]
    bucket.put("s3://bucket/thesis/ch1.tex", b"mine")
    assert run("--out", "s3://bucket/thesis", "--force") == 2
    assert bucket.contents("s3://bucket/thesis") == {"ch1.tex": b"mine"}


def test_the_report_is_written_again_there(toy_backend, toy_flags, bucket, capsys):
    assert main(["generate", "a circle", *toy_flags, "--out", PLACE]) == 0
    page = bucket.contents(PLACE)["report.html"]
    bucket.put(f"{PLACE}/report.html", b"old")
    assert main(["report", PLACE]) == 0
    assert bucket.contents(PLACE)["report.html"] == page
    assert b"data:video/mp4" in page


@pytest.mark.parametrize(
    ("place", "message"),
    [
        ("gs://b/x", "gs://b/x needs gcsfs, which is not installed: pip install"),
        (
            "http://b/x",
            "http://b/x is in no store that is known here: use gs://, s3://",
        ),
    ],
)
def test_what_is_missing_is_said_before_any_work(
    run, place, message, monkeypatch, capsys
):
    memory_store.uninstall(monkeypatch)
    monkeypatch.setattr(program, "use_compilation_cache", None)
    assert run("--out", place) == 2
    error = capsys.readouterr().err
    assert error.startswith(f"avits: error: {message}") and error.count("\n") == 1


def test_a_store_that_cannot_be_written_is_said_first(run, bucket, monkeypatch, capsys):
    def refuse(path):
        raise PermissionError("403 Forbidden")

    bucket.before = staticmethod(refuse)
    monkeypatch.setattr(program, "use_compilation_cache", None)
    assert run("--out", PLACE) == 2
    error = capsys.readouterr().err
    assert error == f"avits: error: --out cannot be written: {PLACE}: 403 Forbidden\n"

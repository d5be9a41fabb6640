"""Runs in a store: the same as in a folder, resumable, every object in its order."""

import json
import os
import shutil
from pathlib import Path

import memory_store
import pytest
import toy_command

from avits_jax import runs
from avits_jax.cli import main
from avits_jax.runs import folder as run_folder

RUN = "gs://bucket/runs/first"


@pytest.fixture(autouse=True)
def no_copies_left(tmp_path, monkeypatch):
    """Every local copy of a run is deleted in the end."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "tmp"))
    (tmp_path / "tmp").mkdir()
    yield
    left = [path for path in (tmp_path / "tmp").iterdir() if list(path.glob("*.json*"))]
    assert not left


@pytest.fixture(scope="module")
def made_once(tmp_path_factory):
    return tmp_path_factory.mktemp("made") / "whole"


@pytest.fixture
def whole(toy, made_once):
    """What a run in a folder leaves."""
    if not made_once.exists():
        assert toy("made", "--optimizer", "adam") == 0
        shutil.copytree("made", made_once)
    shutil.copytree(made_once, "whole")
    return "whole"


def lines(bucket, log, place=RUN):
    found = bucket.contents(place)
    return b"".join(found[n] for n in sorted(found) if n.startswith(f"{log}/"))


def same_as(bucket, folder, place=RUN):
    """Tell whether a stored run has the records, clips and settings of a local one."""
    found = bucket.contents(place)
    clips = {f"clips/{p.name}": p.read_bytes() for p in Path(folder, "clips").iterdir()}
    assert {n: found[n] for n in found if n.startswith("clips/")} == clips
    assert lines(bucket, "records", place) == Path(folder, "records.jsonl").read_bytes()
    here = json.loads(Path(folder, "run.json").read_text())
    there = json.loads(found["run.json"])
    assert here | {"created": ""} == there | {"created": ""}
    return True


def stop_at(bucket, end, error=KeyboardInterrupt):
    """Raise an error before the object whose name ends so is written."""

    def before(path):
        if path.endswith(end):
            raise error

    bucket.before = staticmethod(before)


def test_a_run_in_a_store_is_that_in_a_folder(toy, bucket, whole, capsys):
    assert toy(RUN, "--optimizer", "adam") == 0
    assert same_as(bucket, whole)
    found = bucket.contents(RUN)
    logs = [
        f"{log}/{row:09d}.jsonl" for log in ("records", "times") for row in range(6)
    ]
    clips = [f"clips/sample_{row:04d}.mp4" for row in range(6)]
    rest = ["run.json", "config.toml", "report.html", ".writer"]
    assert sorted(found) == sorted([*logs, *clips, *rest])
    assert found["config.toml"] == Path("whole/config.toml").read_bytes()
    assert b'href="clips/sample_0005.mp4"' in found["report.html"]
    printed = capsys.readouterr().out
    assert f"clips      {RUN}/clips\nrewards    {RUN}/records\n" in printed
    assert f"report     {RUN}/report.html\n" in printed
    assert not os.path.exists("gs:")


def test_a_clip_is_there_before_its_record(toy, bucket):
    assert toy(RUN) == 0
    order = [path.removeprefix("bucket/runs/first/") for path in bucket.written]
    for row in range(6):
        record = order.index(f"records/{row:09d}.jsonl")
        assert order.index(f"clips/sample_{row:04d}.mp4") < record
        assert order.index(f"times/{row:09d}.jsonl") < record
    assert order.index("run.json") < order.index("clips/sample_0000.mp4")


@pytest.mark.parametrize(
    ("end", "done"),
    [
        ("records/000000002.jsonl", 2),
        ("clips/sample_0004.mp4", 4),
        ("config.toml", 6),
    ],
)
def test_killed_it_goes_on_from_another_machine(toy, bucket, whole, end, done, capsys):
    stop_at(bucket, end)
    assert toy(RUN, "--optimizer", "adam") == 130
    assert len(list(runs.read_records(RUN))) == done
    kept = bucket.contents(RUN)
    bucket.before = staticmethod(lambda path: None)
    del bucket.written[:]
    capsys.readouterr()
    assert toy(RUN, "--optimizer", "adam") == 0
    assert f"{done} prompts are done already" in capsys.readouterr().err
    assert same_as(bucket, whole)
    assert lines(bucket, "records").startswith(
        b"".join(kept[n] for n in sorted(kept) if n.startswith("records/"))
    )
    again = [path for path in bucket.written if "records/" in path]
    assert len(again) == 6 - done


def test_a_store_that_refuses_is_said_and_what_is_done_is_safe(toy, bucket, capsys):
    stop_at(bucket, "sample_0003.mp4", RuntimeError("503 Slow\ndown"))
    assert toy(RUN) == 1
    error = capsys.readouterr().err.splitlines()[-1]
    assert error == (
        f"avits: error: {RUN}: 503 Slow down; 3 prompts are safe, the same command "
        "goes on from there"
    )


def test_a_lost_clip_is_made_again(toy, bucket, whole, capsys):
    assert toy(RUN, "--optimizer", "adam") == 0
    del bucket.store["/bucket/runs/first/clips/sample_0002.mp4"]
    assert toy(RUN, "--optimizer", "adam") == 0
    assert "the clip of row 2 is missing" in capsys.readouterr().err
    assert same_as(bucket, whole)


def test_the_process_that_began_last_writes(toy, bucket, monkeypatch, whole, capsys):
    append = run_folder.RunFolder.append

    def meanwhile(self, record, seconds):
        append(self, record, seconds)
        if record.row == 1:
            monkeypatch.setattr(run_folder.RunFolder, "append", append)
            assert toy(RUN, "--optimizer", "adam") == 0

    monkeypatch.setattr(run_folder.RunFolder, "append", meanwhile)
    assert toy(RUN, "--optimizer", "adam") == 1
    error = capsys.readouterr().err.splitlines()[-1]
    assert error.startswith(f"avits: error: {RUN} was deleted, or made anew by another")
    assert same_as(bucket, whole)


def test_other_settings_and_other_objects_are_refused(toy, bucket, capsys):
    assert toy(RUN, "--limit", "1") == 0
    before = bucket.contents(RUN)
    assert toy(RUN, "--seed", "1") == 2
    error = capsys.readouterr().err
    assert f"error: {RUN} is a run of other settings (seed: 0 there, 1 now" in error
    assert bucket.contents(RUN) == before
    bucket.put("gs://bucket/data/table.csv", b"mine")
    assert toy("gs://bucket/data") == 2
    error = capsys.readouterr().err
    assert "error: gs://bucket/data holds files but no run.json" in error
    assert bucket.contents("gs://bucket/data") == {"table.csv": b"mine"}


def test_a_damaged_record_is_said(toy, bucket, capsys):
    assert toy(RUN, "--limit", "2") == 0
    name = f"{RUN}/records/000000000.jsonl"
    data = bucket.contents(RUN)["records/000000000.jsonl"]
    bucket.put(name, data.replace(b'"row":0', b'"row":7'))
    assert toy(RUN) == 2
    assert f"{RUN}/records.jsonl, line 1 is damaged" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("prompts", "out", "message"),
    [
        (
            "prompts.txt",
            "ftp://host/run",
            "ftp://host/run is in no store that is known",
        ),
        ("prompts.txt", RUN, f"{RUN} needs gcsfs, which is not installed: pip install"),
        ("s3://bucket/p.csv", "run", "s3://bucket/p.csv needs s3fs, which is not"),
    ],
)
def test_what_is_missing_is_said_before_any_work(
    toy, monkeypatch, prompts, out, message, capsys
):
    memory_store.uninstall(monkeypatch)
    monkeypatch.setattr(toy_command.backend, "resolve_names", None)  # is not reached
    assert toy(out, prompts=prompts) == 2
    printed = capsys.readouterr()
    assert printed.err.startswith(f"avits: error: {message}") and not printed.out
    assert printed.err.count("\n") == 1 and not os.path.exists(out)


def test_a_store_that_cannot_be_written_is_said_before_any_work(
    toy, bucket, monkeypatch, capsys
):
    stop_at(bucket, "", PermissionError("403 Forbidden"))
    monkeypatch.setattr(toy_command.backend, "load", None)
    assert toy(RUN) == 2
    error = capsys.readouterr().err
    assert error == f"avits: error: --out cannot be written: {RUN}: 403 Forbidden\n"


def test_prompts_lie_in_a_store(toy, bucket, whole, capsys):
    bucket.put("gs://bucket/prompts.txt", Path("prompts.txt").read_bytes())
    assert toy("run", "--optimizer", "adam", prompts="gs://bucket/prompts.txt") == 0
    kept = [Path(out, "records.jsonl").read_bytes() for out in ("run", whole)]
    assert kept[0] == kept[1]
    assert runs.read_run("run")["prompts"] == "gs://bucket/prompts.txt"
    assert 'prompts = "gs://bucket/prompts.txt"' in Path("run/config.toml").read_text()
    bucket.put("gs://bucket/p.csv", b"prompt\nhello\n")
    assert toy("other", prompts="gs://bucket/p.csv") == 2
    assert toy("other", prompts="gs://bucket/none.txt") == 2
    errors = capsys.readouterr().err.splitlines()[-2:]
    assert errors == [
        "avits: error: gs://bucket/p.csv has no column 'text'; it has: prompt",
        "avits: error: prompts file gs://bucket/none.txt does not exist",
    ]


def test_a_run_starts_with_what_a_stored_one_has_learned(toy, bucket):
    assert toy("first", "--limit", "2") == 0 and toy(RUN, "--limit", "2") == 0
    for other in ("first", RUN):
        out = "from-" + other.rpartition("/")[2]
        assert toy(out + other[:2], "--start", other, "--limit", "1") == 0
    records = [Path(f"from-first{k}/records.jsonl").read_bytes() for k in ("fi", "gs")]
    assert records[0] == records[1]


def test_reports_are_written_where_the_run_is(toy, bucket, capsys):
    assert toy(RUN) == 0
    page = bucket.contents(RUN)["report.html"]
    bucket.put(f"{RUN}/report.html", b"old")
    assert main(["report", RUN]) == 0
    assert bucket.contents(RUN)["report.html"] == page
    assert capsys.readouterr().out.endswith(f"{RUN}/report.html\n")
    assert main(["report", "gs://bucket/nothing"]) == 2
    error = capsys.readouterr().err
    assert "gs://bucket/nothing holds neither run.json nor results.json" in error


def test_studies_read_and_write_there(toy, bucket, whole, capsys):
    assert toy(RUN, "--optimizer", "adam") == 0
    flags = ["--aggregators", "weighted,rank"]
    assert main(["study", RUN, *flags]) == 0
    assert f"{RUN}/study/study.json" in capsys.readouterr().out
    assert main(["study", whole, *flags]) == 0
    there = json.loads(bucket.contents(RUN)["study/study.json"])
    here = json.loads(Path(whole, "study", "study.json").read_text())
    assert there.pop("runs") == [RUN] and here.pop("runs") == [whole]
    assert there == here


def test_shards_are_merged_from_stores_and_into_one(toy, bucket):
    shards = [f"gs://bucket/shard{i}" for i in (1, 2)]
    for i, place in enumerate(shards, start=1):
        assert toy(place, "--shard", f"{i}/2") == 0
        assert toy(f"shard{i}", "--shard", f"{i}/2") == 0
    assert main(["merge", "shard1", "shard2", "--out", "both"]) == 0
    assert main(["merge", *shards, "--out", "gs://bucket/both"]) == 0
    bucket.put("gs://bucket/both/.writer", b"")
    found = bucket.contents("gs://bucket/both")
    assert json.loads(found["run.json"])["runs"] == shards
    clips = {n: found[n] for n in found if n.startswith("clips/")}
    assert clips == {
        f"clips/{p.name}": p.read_bytes() for p in Path("both/clips").iterdir()
    }
    kept = lines(bucket, "records", "gs://bucket/both")
    assert kept == Path("both/records.jsonl").read_bytes()
    assert [r.row for r in runs.read_records("gs://bucket/both")] == list(range(6))
    assert main(["merge", *shards, "--out", "gs://bucket/both"]) == 2


def test_a_run_in_code_lies_in_a_store(bucket, tmp_path):
    made = {"settings": {}, "plan": {}, "verifiers": [], "judges": [], "state": []}
    facts = made | {"versions": {}, "created": "", "device": "", "prompts": ""}
    with runs.RunFolder(Path(RUN), facts) as folder:
        assert not folder.resumed
    assert runs.is_run(RUN) and runs.is_run(Path(RUN)) and not runs.is_run("gs://b/x")
    with runs.RunFolder(RUN, facts) as folder:
        assert folder.resumed and list(folder.records()) == []
    with runs.local_run(RUN) as copy:
        assert runs.read_run(copy)["kind"] == "run"

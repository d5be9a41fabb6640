"""Run folders that others have changed: one line, status 2, nothing written."""

import json
import os
import random
import shutil

import numpy as np
import pytest
from json_mutants import json_mutant
from shard_folders import (
    change_json,
    entries,
    failed,
    make_shard,
    one_record,
    put_entries,
)

from avits_jax.cli import main
from avits_jax.report import write_run_report
from avits_jax.runs import RunFolder, log, read_records, read_run, summarise
from avits_jax.runs.folder import LostFolderError
from avits_jax.runs.records import to_entry
from avits_jax.runs.times import read_times
from avits_jax.types import Media


@pytest.fixture
def shards(tmp_path, monkeypatch):
    """Two shards, whole together, in the working folder."""
    monkeypatch.chdir(tmp_path)
    make_shard(tmp_path / "a", "1/2", (0, 2, 4), total=6)
    make_shard(tmp_path / "b", "2/2", (1, 3, 5), total=6)
    return tmp_path


def said(capsys, *command):
    """Return the status and the one line of a command."""
    status = main([*map(str, command)])
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) <= 1
    return status, lines[0] if lines else ""


@pytest.mark.parametrize(
    ("more", "status"),
    [({}, 0), (failed(), 3), (failed(status="failed"), 3)],
)
def test_a_merge_ends_as_a_run_does(shards, capsys, more, status):
    shutil.rmtree("b")
    make_shard(shards / "b", "2/2", (1, 3, 5), total=6, **more)
    assert said(capsys, "merge", "a", "b", "--out", "all") == (status, "")
    assert [r.row for r in read_records("all")] == list(range(6))
    assert len(read_times("all")) == 6


def test_a_merge_in_which_all_failed_has_failed(shards, capsys):
    for name, shard, rows in (("c", "1/2", (0,)), ("d", "2/2", (1,))):
        make_shard(shards / name, shard, rows, total=2, **failed())
    assert said(capsys, "merge", "c", "d", "--out", "all")[0] == 1


def test_shards_of_two_sizes_can_be_the_whole(shards, capsys):
    for name, shard, rows in (("c", "2/4", (1, 5)), ("d", "4/4", (3,))):
        make_shard(shards / name, shard, rows, total=6)
    assert said(capsys, "merge", "a", "c", "--out", "all")[1].endswith(
        "none of them has row 3"
    )
    assert said(capsys, "merge", "a", "c", "d", "--out", "all")[0] == 0


def unfinished(folder):
    put_entries(folder / "b", entries((1, 3)))


def holed(folder):
    put_entries(folder / "b", entries((1, 5)))


def older(folder):
    holed(folder)
    for name in "ab":
        change_json(folder / name / "run.json", rows=...)


def backwards(folder):
    put_entries(folder / "b", entries((5, 3, 1)))


def another_file(folder):
    change_json(folder / "b" / "run.json", rows={"count": 6, "digest": "e"})


def another_limit(folder):
    change_json(folder / "b" / "run.json", rows={"count": 4, "digest": "e"})


def strange_row(folder):
    put_entries(folder / "b", entries((1, 4)))


def huge_count(folder):
    for name in "ab":
        rows = {"count": 2**53, "digest": "d"}
        change_json(folder / name / "run.json", rows=rows)


def wrong_weights(folder):
    for name in "ab":
        change_json(folder / name / "run.json", settings={"weights": "x"} | shard(name))


def shard(name):
    return {"shard": {"a": "1/2", "b": "2/2"}[name]}


def damaged_clip(folder):
    (folder / "b" / "clips" / "sample_0003.mp4").write_bytes(b"clop")


def no_clip(folder):
    (folder / "b" / "clips" / "sample_0003.mp4").unlink()


def short_state(folder):
    put_entries(folder / "b", [to_entry(one_record(r, state=b"")) for r in (1, 3, 5)])


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (unfinished, "not the whole: b has done 2 of its 3 rows, not row 5"),
        (holed, "not the whole: b has done 2 of its 3 rows, not row 3"),
        (older, "not the whole: b has done 2 of its 3 rows, not row 3"),
        (
            backwards,
            "records out of order: line 2 is of row 3, the one before of",
        ),
        (another_file, "a and b are of different prompts: 6 rows"),
        (another_limit, "a and b are of different prompts: 6 rows"),
        (strange_row, "b holds row 4, which is none of shard 2/2"),
        (huge_count, "a has done 3 of its 4503599627370496 rows, not row 6"),
        (wrong_weights, "weights in run.json must be a list of a number"),
        (damaged_clip, "sample_0003.mp4 is damaged, though its record is there"),
        (no_clip, "sample_0003.mp4 is missing, though its record is there"),
        (short_state, "bytes of a state of this aggregator, got 0"),
    ],
)
def test_what_cannot_be_merged_is_named(shards, capsys, damage, message):
    damage(shards)
    status, line = said(capsys, "merge", "a", "b", "--out", "all")
    assert status == 2 and message in line
    assert sorted(os.listdir()) == ["a", "b"]


def test_absent_shards_are_named(shards, capsys):
    for index in (1, 2):
        make_shard(shards / f"{index}", f"{index}/3", (index - 1, index + 2), total=6)
    status, line = said(capsys, "merge", "1", "2", "--out", "all")
    assert status == 2 and line.endswith("not the whole: shard 3/3 is missing")
    assert said(capsys, "merge", "a", "1", "--out", "all")[1].endswith(
        "a and 1 both hold row 0: no shards of one run"
    )


def entry(**changes):
    return to_entry(one_record(2)) | changes


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"status": True}, "'status' is of type bool, must be done, failed or refused"),
        ({"status": "refused"}, "'refused' of 2 candidates, whose 'best' is 0"),
        ({"row": 2.5}, "'row' is 2.5 (of type float), must be a whole number"),
        ({"row": -1}, "'row' is -1"),
        ({"best": 7}, "'done' of 2 candidates, whose 'best' is 7"),
        ({"rewards": "1"}, "'rewards' is of type str"),
        ({"rewards": [[10**400], [1]]}, "'rewards' is of type list, must be a list of"),
        ({"rewards": [[1e39], [1]]}, "'rewards' is of type list, must be a list of"),
        ({"rewards": [[1], [1, 2]]}, "rewards of unequal length"),
        ({"rewards": [[1, 2], [3, 4]]}, "row 2 has rewards of 2 guides and 0 judges"),
        ({"judged": []}, "'judged' is of 0 candidates, must be of 2"),
        ({"sigmas": []}, "and 0 sigmas, there are 1 guides"),
        ({"sigmas": [[1]]}, "'sigmas' is of type list"),
        ({"nfe": 2**60}, "'nfe' is 1152921504606846976"),
        ({"state": "?"}, "'state' is no base64"),
        ({"clip_crc": 2**32}, "'clip_crc' is 4294967296"),
        ({"prompt": None}, "'prompt' is of type NoneType, must be text"),
    ],
)
def test_records_with_wrong_fields(shards, capsys, changes, message):
    put_entries(shards / "a", [*entries((0,)), entry(**changes)])
    status, line = said(capsys, "report", "a")
    assert status == 2 and message in line and "records.jsonl" in line
    assert not (shards / "a" / "report.html").exists()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"[" * 100_000, "nested too deeply"),
        (b"[" * 100 + b"]" * 100, "nested deeper than 64 levels"),
        (b'{"kind": "run", "kind": "run"}', "the key 'kind' stands twice"),
        (b'{"format": ' + b"1" * 5000 + b"}", "is damaged"),
        (b"\xff\xfe{", "is damaged"),
        (b'{"kind": "run", "format": "\\u001b[31m"}', r"has format '\x1b[31m'"),
    ],
)
def test_run_files_of_another_kind(shards, capsys, content, message):
    (shards / "a" / "run.json").write_bytes(content)
    for command in (["report", "a"], ["merge", "a", "b", "--out", "all"]):
        status, line = said(capsys, *command)
        assert status == 2 and message in line and "run.json" in line


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("verifiers", [1]),
        ("verifiers", "red"),
        ("judges", None),
        ("state", [1]),
        ("created", 10**400),
        ("versions", []),
        ("notices", "x"),
        ("rows", {"count": 0, "digest": "d"}),
        ("plan", ...),
    ],
)
def test_run_files_with_wrong_fields(shards, capsys, name, value):
    change_json(shards / "a" / "run.json", **{name: value})
    status, line = said(capsys, "report", "a")
    assert status == 2 and f"{name}" in line and "run.json is damaged: it" in line


def test_damaged_times_are_left_out(shards, capsys):
    times = shards / "a" / "times.jsonl"
    wrong = [{"rov": 2, "seconds": 1}, {"row": 2, "seconds": "x"}, {"row": 2}]
    wrong += [{"row": 2, "seconds": 10**400}, {"row": None, "seconds": 1}]
    times.unlink()
    log.append(times, {"row": 0, "seconds": 2.0}, sync=False)
    for one in wrong:
        log.append(times, one, sync=False)
    with times.open("ab") as file:
        file.write(b"\xff\x00damaged\n[1,2]\n")
    log.append(times, {"row": 4, "seconds": 1.0}, sync=False)
    assert read_times("a") == {0: 2.0, 4: 1.0}
    assert said(capsys, "report", "a") == (0, "")
    page = (shards / "a" / "report.html").read_text()
    assert "The seconds of 1 prompts are not known" in page and "1.50" in page
    assert said(capsys, "merge", "a", "b", "--out", "all") == (0, "")
    assert summarise("all").num_timed == 5


def test_what_is_no_text_is_written_escaped(shards, capsys):
    text = "\ud800 <b> \x1b[31m"
    put_entries(shards / "a", [to_entry(one_record(0, prompt=text, **failed()))])
    (read,) = read_records("a")
    assert read.prompt == text
    (shards / "a" / "records.jsonl").read_text("utf-8")
    assert said(capsys, "report", "a") == (0, "")
    page = (shards / "a" / "report.html").read_text("utf-8")
    assert "\\ud800 &lt;b&gt;" in page


@pytest.mark.parametrize("again", [True, False])
def test_a_folder_deleted_meanwhile_is_not_written_to(tmp_path, again):
    path = make_shard(tmp_path / "run", "1/2", (0,))
    facts = read_run(path)
    with RunFolder(path, facts) as first:
        shutil.rmtree(path)
        if again:
            make_shard(path, "1/2", (0,))
        with pytest.raises(LostFolderError, match="deleted, or made anew by another"):
            first.append(one_record(2), 0.5)
        clip = Media(np.zeros((1, 2, 2, 3)), np.zeros((1, 8)))
        with pytest.raises(LostFolderError):
            first.write_clip(2, clip, fps=1.0, sample_rate=8000)
    assert path.exists() == again
    if again:
        assert [r.row for r in read_records(path)] == [0]


def test_damaged_clips_are_told_from_whole_ones(shards):
    clips = shards / "a" / "clips"
    (clips / "sample_0000.mp4").write_bytes(b"clop")
    (clips / "sample_0002.mp4").unlink()
    lost = []
    with RunFolder("a", read_run("a")) as folder:
        assert [r.row for r in folder.take_up(lost)] == [0, 2, 4]
    assert [(each.record.row, each.state is None) for each in lost] == [
        (0, True),
        (2, False),
    ]
    # A run of an older version says nothing of its clips: they are decoded.
    put_entries(shards / "a", [entry(row=0) | {"clip_crc": None}])
    lost.clear()
    with RunFolder("a", read_run("a")) as folder:
        list(folder.take_up(lost))
    assert len(lost) == 1


MANY = pytest.mark.parametrize(
    "count", [60, pytest.param(2000, marks=pytest.mark.slow)], ids=["few", "many"]
)


@MANY
@pytest.mark.parametrize("what", ["records", "run.json"])
@pytest.mark.filterwarnings("error")
def test_mutants_have_a_page_or_are_refused(shards, count, what):
    chance, shown, whole = random.Random(0), 0, entries()
    made = json.loads((shards / "a" / "run.json").read_text())
    for _ in range(count):
        if what == "records":
            row = chance.randrange(3)
            changed = json_mutant(whole[row], chance)
            put_entries("a", [*whole[:row], changed, *whole[row + 1 :]])
        else:
            (shards / "a" / "run.json").write_text(
                json.dumps(json_mutant(made, chance))
            )
        try:
            write_run_report("a")
            shown += 1
        except ValueError as error:
            assert "records.jsonl" in str(error) or "run.json" in str(error)
            assert "\n" not in str(error)
    assert 0 < shown < count

"""A run folder: made once, refused to others, cleaned after a kill."""

import json

import pytest
from test_run_records import record

from avits_jax.runs import RunFolder, is_run, read_run


def facts(**settings):
    return {
        "created": "2026-01-01T00:00:00+00:00",
        "prompts": "p.txt",
        "plan": {},
        "settings": {"seed": 0, "steps": None, **settings},
        "verifiers": ["red"],
        "judges": [],
        "state": [],
        "versions": {},
        "device": "cpu",
    }


@pytest.fixture
def run(tmp_path):
    """A run folder with two records and a clip."""
    with RunFolder(tmp_path / "run", facts()) as folder:
        for row in (0, 1):
            (folder.path / "clips" / f"sample_000{row}.mp4").write_bytes(b"clip")
            folder.append(record([[0.5, 1]], row=row), seconds=0.25)
    return tmp_path / "run"


def contents(folder):
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_the_same_settings_take_it_up(run):
    before = contents(run)
    with RunFolder(run, facts() | {"created": "later", "prompts": "q.txt"}) as folder:
        assert folder.resumed and folder.made["prompts"] == "p.txt"
        assert [r.row for r in folder.records()] == [0, 1]
    assert contents(run) == before and is_run(run)


@pytest.mark.parametrize(
    ("settings", "difference"),
    [
        ({"seed": 1}, r"other settings \(seed: 0 there, 1 now\)"),
        ({"steps": 8}, r"\(steps: default there, 8 now\)"),
        ({"seed": 2, "steps": 8}, "seed: 0 there, 2 now; steps: default there, 8 now"),
        ({"search": "smc"}, 'search: default there, "smc" now'),
    ],
)
def test_other_settings_are_refused_by_name(run, settings, difference):
    before = contents(run)
    with pytest.raises(ValueError, match=difference):
        RunFolder(run, facts(**settings))
    assert contents(run) == before
    RunFolder(run, facts()).close()  # the refusal let go of the folder


def test_another_state_layout_is_refused(run):
    with pytest.raises(ValueError, match="cannot be resumed: its aggregator's state"):
        RunFolder(run, facts() | {"state": [{"name": "log_vars"}]})


def test_a_missing_clip_is_said(run):
    (run / "clips" / "sample_0001.mp4").unlink()
    with RunFolder(run, facts()) as folder:
        with pytest.raises(ValueError, match="sample_0001.mp4 is missing, though"):
            list(folder.records())


def test_two_processes_cannot_write_at_once(run):
    with (
        RunFolder(run, facts()),
        pytest.raises(ValueError, match="another process is writing to .*run"),
    ):
        RunFolder(run, facts())


def test_what_a_kill_left_is_removed(run):
    before = contents(run)
    (run / ".run.json.0123456789ab.tmp").write_bytes(b"half")
    (run / "clips" / ".sample_0002.mp4.0123456789ab.tmp").write_bytes(b"half")
    with (run / "records.jsonl").open("ab") as file:
        file.write(b'{"row":2,"pro')
    with (run / "times.jsonl").open("ab") as file:
        file.write(b"{")
    RunFolder(run, facts()).close()
    assert contents(run) == before


def test_a_kill_before_the_first_file_does_no_harm(tmp_path):
    (tmp_path / "run" / "clips").mkdir(parents=True)
    (tmp_path / "run" / ".run.json.0123456789ab.tmp").write_bytes(b"half")
    with RunFolder(tmp_path / "run", facts()) as folder:
        assert not folder.resumed
    names = {"run.json", ".lock"}
    assert set(contents(tmp_path / "run")) == names


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"{", "run.json is damaged"),
        (b"\xff", "run.json is damaged"),
        (b"[]", "is not of a run of many prompts"),
        (b'{"kind": "run", "format": 9}', "has format 9; this version reads 1"),
        (b'{"kind": "run", "format": 1}', "'settings' is missing"),
    ],
)
def test_a_damaged_run_file_is_said(run, content, message):
    (run / "run.json").write_bytes(content)
    with pytest.raises(ValueError, match=message):
        RunFolder(run, facts())


def test_a_merged_folder_takes_no_prompts(run):
    made = read_run(run) | {"kind": "merged"}
    (run / "run.json").write_text(json.dumps(made))
    with pytest.raises(ValueError, match="was merged from several runs"):
        RunFolder(run, facts())


def test_other_files_are_left_alone(tmp_path):
    (tmp_path / "thesis.tex").write_text("x")
    with pytest.raises(ValueError, match="holds files but no run.json"):
        RunFolder(tmp_path, facts())
    with pytest.raises(ValueError, match="exists and is no folder"):
        RunFolder(tmp_path / "thesis.tex", facts())
    assert list(contents(tmp_path)) == ["thesis.tex"]
    with pytest.raises(ValueError, match="not the folder of a run"):
        read_run(tmp_path)

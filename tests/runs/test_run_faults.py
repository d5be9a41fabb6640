"""What goes wrong around a run: lost clips, a lost folder, prompts that are no text."""

import dataclasses
import json
import shutil
from pathlib import Path

from avits_jax.runs import RunFolder, read_records, read_run


def kept(out):
    names = ("records.jsonl", *(f"clips/sample_000{row}.mp4" for row in range(3)))
    return {name: (Path(out) / name).read_bytes() for name in names}


def restate(row, **changes):
    """Change a record of the run."""
    with RunFolder("run", read_run("run")) as folder:
        (record,) = (each for each in read_records("run") if each.row == row)
        folder.put_record(dataclasses.replace(record, **changes))


def test_lost_clips_are_made_again(toy, capsys):
    assert toy("run", "--limit", "3") == 0
    before, made = kept("run"), read_run("run")
    assert made["rows"]["count"] == 3 and len(made["rows"]["digest"]) == 64
    clip = Path("run/clips/sample_0000.mp4")
    clip.write_bytes(clip.read_bytes()[:-1])
    Path("run/clips/sample_0001.mp4").unlink()
    restate(2, clip_crc=0)  # as if another version had written it
    capsys.readouterr()
    assert toy("run", "--limit", "3") == 0
    told = capsys.readouterr().err
    for row in range(3):
        assert f"the clip of row {row} is missing or damaged: made again" in told
    assert kept("run") == before
    (first, *_) = read_records("run")
    restate(0, best=(first.best + 1) % 4)
    clip.write_bytes(b"")
    assert toy("run", "--limit", "3") == 2
    last = capsys.readouterr().err.splitlines()[-1]
    assert "the clip of row 0 is lost and cannot be made again: the run chose" in last
    assert clip.read_bytes() == b""


def test_prompts_that_are_no_text_are_refused(toy, tmp_path, capsys):
    rows = [{"text": "unheard"}, {"text": "\ud800 <b>\x1b[31m"}]
    (tmp_path / "p.jsonl").write_text("\n".join(map(json.dumps, rows)))
    assert toy("run", prompts="p.jsonl") == 1
    assert "row 1 refused: the prompt holds line breaks, control or undecodable" in (
        capsys.readouterr().err
    )
    assert [r.prompt for r in read_records("run")] == [row["text"] for row in rows]
    assert "\\ud800 &lt;b&gt;" in Path("run/report.html").read_text("utf-8")
    Path("run/records.jsonl").read_text("utf-8")
    assert toy("run", prompts="p.jsonl") == 1  # and are known again


def test_a_folder_made_anew_ends_the_first_run(toy, monkeypatch, capsys):
    real = RunFolder.append

    def losing(self, record, seconds):
        if record.row == 1:
            shutil.rmtree("run")
            with monkeypatch.context() as patch:
                patch.setattr(RunFolder, "append", real)
                RunFolder("run", read_run_facts(self)).close()
        real(self, record, seconds)

    def read_run_facts(folder):
        return {k: v for k, v in folder.made.items() if k not in ("kind", "format")}

    monkeypatch.setattr(RunFolder, "append", losing)
    assert toy("run", "--limit", "3") == 1
    last = capsys.readouterr().err.splitlines()[-1]
    assert "run was deleted, or made anew by another process" in last
    assert list(read_records("run")) == [] and not Path("run/report.html").exists()

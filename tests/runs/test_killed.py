"""A real process, killed with SIGKILL: the finished run is the same, bit for bit."""

import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import toy_command

import avits_jax
from avits_jax.media import read_clip
from avits_jax.runs import read_records

HERE = Path(__file__).parent
FLAGS = [*toy_command.FLAGS, "--optimizer", "adam"]


@pytest.fixture
def command(tmp_path, monkeypatch):
    """Return a function that starts ``avits run`` over the toy."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", f"{Path(avits_jax.__file__).parents[1]}:{HERE}")
    prompts = [*toy_command.PROMPTS[:3], "unheard of", *toy_command.PROMPTS[3:]]
    Path("prompts.txt").write_text("\n".join(prompts))

    def start(out):
        script = [sys.executable, str(HERE / "toy_command.py")]
        with (tmp_path / f"{out}.log").open("ab") as log:
            return subprocess.Popen(
                [*script, "run", "prompts.txt", "--out", out, *FLAGS],
                stdout=log,
                stderr=log,
            )

    return start


def kept(out):
    """What must be the same: settings, records and clips, but for the date."""
    files = {p.name: p.read_bytes() for p in Path(out).rglob("*") if p.is_file()}
    for name in ("times.jsonl", "report.html", "run.json"):
        files.pop(name, None)
    return files


def wait_for(process, seconds, happened):
    end = time.monotonic() + seconds
    while time.monotonic() < end and process.poll() is None and not happened():
        time.sleep(0.002)


def test_killed_at_random_moments(command):
    whole = command("whole")
    assert whole.wait(300) == 3  # one prompt is refused
    expected = kept("whole")
    assert len(expected) == 6 + 3  # clips, records, config, lock

    chance = random.Random(0)
    done, records = [], Path("killed/records.jsonl")
    for number in range(4):
        process = command("killed")
        size = records.stat().st_size if records.exists() else 0
        # Moments just after a record: while the next clip or record is written.
        wait_for(
            process,
            240,
            lambda size=size: records.exists() and (records.stat().st_size > size),
        )
        time.sleep(chance.uniform(0, 0.1))
        process.send_signal(signal.SIGKILL)
        assert process.wait(60) in (-signal.SIGKILL, 3), number
        for clip in Path("killed/clips").glob("sample_*.mp4"):
            assert read_clip(clip).video.any()
        done.append([r.row for r in read_records("killed")])
    # Nothing is done twice: what was done stays, and grows.
    for before, after in zip(done, done[1:], strict=False):
        assert after[: len(before)] == before and len(set(after)) == len(after)
    stamps = {p.name: p.stat().st_mtime_ns for p in Path("killed/clips").iterdir()}
    assert command("killed").wait(300) == 3
    assert kept("killed") == expected
    finished = [f"sample_{row:04d}.mp4" for row in done[-1] if row != 3]
    assert finished
    for name in finished:
        assert (Path("killed/clips") / name).stat().st_mtime_ns == stamps[name]

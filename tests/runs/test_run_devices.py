"""avits run over two devices and over two hosts: real processes, the same result."""

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import many_devices
import numpy as np
import pytest
import toy_command

import avits_jax
from avits_jax.runs import read_records
from avits_jax.runs.results import load_results

HERE = Path(__file__).parent


@pytest.fixture
def start(tmp_path, monkeypatch):
    """Return a function that starts ``avits run``, or another, over the toy."""
    monkeypatch.chdir(tmp_path)
    Path("prompts.txt").write_text("\n".join(toy_command.PROMPTS))
    path = f"{Path(avits_jax.__file__).parents[1]}:{HERE}"

    def run(out, *flags, devices=1, command=("run", "prompts.txt")):
        arguments = [*command, "--out", out, *toy_command.FLAGS, *flags]
        return subprocess.Popen(
            [sys.executable, str(HERE / "toy_command.py"), *arguments],
            env=os.environ
            | {"PYTHONPATH": path, "XLA_FLAGS": many_devices.flags(devices)},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )

    return run


def finish(process):
    _, said = process.communicate(timeout=300)
    assert process.returncode == 0, said


def assert_same(out, expected):
    pairs = zip(read_records(out), read_records(expected), strict=True)
    for one, other in pairs:
        assert (one.row, one.best, one.nfe) == (other.row, other.best, other.nfe)
        np.testing.assert_allclose(one.rewards, other.rewards, rtol=1e-4)
        np.testing.assert_allclose(one.judged, other.judged, rtol=1e-4)


def test_two_devices_give_what_one_gives(start):
    finish(start("one"))
    finish(start("two", "--devices", "2", devices=2))
    assert_same("two", "one")
    finish(start("shared", "--devices", "2", "--share-weights", "2", devices=2))
    assert_same("shared", "one")


def test_one_prompt_on_two_devices(start):
    command = ("generate", toy_command.PROMPTS[0])
    finish(start("one", command=command))
    flags = ["--devices", "2", "--profile", "seen"]
    finish(start("two", *flags, devices=2, command=command))
    one, two = load_results("one"), load_results("two")
    assert one["best_index"] == two["best_index"]
    # Where it was worked on decides nothing.
    assert one["settings"] == two["settings"]
    for a, b in zip(one["candidates"], two["candidates"], strict=True):
        np.testing.assert_allclose(a["rewards"], b["rewards"], rtol=1e-4)
    assert list(Path("seen").rglob("*.xplane.pb"))


def two_hosts(start):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{probe.getsockname()[1]}"
    meet = ["--coordinator", address, "--num-hosts", "2", "--log", "logs", "--host"]
    return [start("hosts", *meet, str(number)) for number in (0, 1)]


@pytest.mark.slow  # a host counts as lost after 20 seconds of silence
def test_a_lost_host_ends_the_other_and_the_run_resumes(start):
    finish(start("one"))
    writer, other = two_hosts(start)
    records = Path("hosts/records.jsonl")
    end = time.monotonic() + 240
    while time.monotonic() < end and not records.exists():
        time.sleep(0.005)
    other.send_signal(signal.SIGKILL)
    _, said = writer.communicate(timeout=60)
    other.communicate(timeout=60)
    if writer.returncode != 0:  # it may have been done before it noticed
        *before, last = said.strip().splitlines()
        assert last.startswith("avits: this process ended suddenly")
        assert "Start the same command on all hosts again" in last
        assert not [line for line in before if "Error" in line or "@ " in line], said
    for process in two_hosts(start):
        finish(process)
    assert_same("hosts", "one")
    for number in (0, 1):
        text = Path(f"logs/host-00{number}.log").read_text()
        assert text.count(f"host {number} of 2, ") == 2 and text.endswith("Z done\n")

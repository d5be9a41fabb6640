"""Two real processes on the loopback interface search as one does."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import jax
import numpy as np
import pytest
from many_devices import flags

from avits_jax import parallel

PROGRAM = Path(__file__).parent / "host_process.py"
TESTS = PROGRAM.parents[1]


def start(host: int, num_hosts: int, port: int, out: Path, devices: int):
    """Start one process with so many virtual devices; returns it."""
    environment = {
        "JAX_PLATFORMS": "cpu",
        "PYTHONPATH": f"{TESTS}{os.pathsep}{TESTS.parent}",
        "XLA_FLAGS": flags(devices),
    }
    arguments = [str(host), str(num_hosts), str(port), str(out)]
    return subprocess.Popen(
        [sys.executable, str(PROGRAM), *arguments],
        env=os.environ | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def wait_for(paths: list[Path], processes: list[subprocess.Popen]) -> None:
    """Wait until the processes have written the files."""
    limit = time.monotonic() + 300
    while not all(path.exists() for path in paths):
        for process in processes:
            if process.poll() is not None:
                pytest.fail(f"a host ended early:\n{process.communicate()[0]}")
        assert time.monotonic() < limit, "the hosts are too slow"
        time.sleep(0.2)


@pytest.fixture
def two_hosts(tmp_path):
    """Two processes with four devices each, done with their searches; and a folder."""
    port = free_port()
    processes = [start(host, 2, port, tmp_path, 4) for host in (0, 1)]
    try:
        told = [tmp_path / f"told{host}.json" for host in (0, 1)]
        wait_for(told, processes)
        yield processes, tmp_path
    finally:
        for process in processes:
            process.kill()
            process.wait()
            process.stdout.close()


def stored(folder: Path) -> list[np.ndarray]:
    with np.load(folder / "output.npz") as arrays:
        return [arrays[name] for name in arrays.files]


def test_two_hosts_find_what_one_finds_and_one_writes(two_hosts, tmp_path):
    processes, out = two_hosts
    for host in (0, 1):
        assert json.loads((out / f"told{host}.json").read_text()) == 7
    (out / "end").touch()
    for process in processes:
        text = process.communicate(timeout=120)[0]
        assert process.returncode == 0 and "ended suddenly" not in text, text
    alone = tmp_path / "alone"
    alone.mkdir()
    single = start(-1, 1, 0, alone, 8)
    text = single.communicate(timeout=300)[0]
    assert single.returncode == 0, text
    for ours, wanted in zip(stored(out), stored(alone), strict=True):
        np.testing.assert_allclose(ours, wanted, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("killed", [0, pytest.param(1, marks=pytest.mark.slow)])
def test_a_killed_host_ends_the_other_with_a_message(two_hosts, killed):
    processes, _ = two_hosts
    processes[killed].send_signal(signal.SIGKILL)
    started = time.monotonic()
    text = processes[1 - killed].communicate(timeout=120)[0]
    assert time.monotonic() - started < 60
    assert processes[1 - killed].returncode != 0
    assert "another host stopped or cannot be reached" in text
    assert "start the same command on all hosts again" in text.lower()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("", "no cluster was found that tells the hosts about each other"),
        ("'127.0.0.1:{port}', 2, 0, join_seconds=3", "cannot be reached"),
    ],
)
def test_hosts_that_cannot_meet_say_so(arguments, message):
    call = f"from avits_jax import parallel; parallel.initialize({arguments})"
    done = subprocess.run(
        [sys.executable, "-c", call.format(port=free_port())],
        env=os.environ | {"JAX_PLATFORMS": "cpu", "PYTHONPATH": str(TESTS.parent)},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode != 0
    assert message in done.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("127.0.0.1:1", 2, None), "together or not at all"),
        (("127.0.0.1", 2, 0), "address:port"),
        (("127.0.0.1:1", 2, 2), "got host 2 of 2"),
        (("127.0.0.1:1", 0, 0), "got host 0 of 0"),
    ],
)
def test_flags_that_do_not_fit_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        parallel.initialize(*arguments)


def test_only_communication_counts_as_a_lost_host(monkeypatch):
    error = jax.errors.JaxRuntimeError("UNKNOWN: Gloo all-reduce failed: reset by peer")
    with pytest.raises(jax.errors.JaxRuntimeError), parallel.lost_hosts():
        raise error
    monkeypatch.setattr(jax, "process_count", lambda: 2)
    with pytest.raises(parallel.HostLostError, match="to resume"):
        with parallel.lost_hosts():
            raise error
    with pytest.raises(jax.errors.JaxRuntimeError, match="RESOURCE"):
        with parallel.lost_hosts():
            raise jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: out of memory")


def test_one_process_is_the_writer_and_agrees_with_itself():
    assert parallel.is_writer()
    state = {"a": np.arange(3), "b": jax.numpy.ones(2)}
    told = parallel.from_writer(state)
    np.testing.assert_array_equal(told["a"], state["a"])
    assert isinstance(told["b"], np.ndarray)

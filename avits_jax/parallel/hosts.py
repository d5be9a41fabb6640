"""Several hosts as one: joining, who writes, and what happens when one is lost.

Every host runs the same program. On a TPU pod, and under Slurm, Open MPI or Kubernetes,
`initialize` finds the others by itself; elsewhere each host is told the address of host
0, how many there are, and its own number.

A pod needs two commands, each sent to all of its hosts at once::

    gcloud compute tpus tpu-vm ssh POD --worker=all \\
        --command='pip install "avits_jax[tpu]"'
    gcloud compute tpus tpu-vm ssh POD --worker=all \\
        --command='avits run PROMPTS.csv --out SHARED_FOLDER/RUN'
"""

import atexit
import contextlib
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import jax
from jax.experimental import multihost_utils

from avits_jax.parallel.place import to_host
from avits_jax.types import PyTree

HEARTBEAT_SECONDS = 20
JOIN_SECONDS = 120


class HostLostError(RuntimeError):
    """Another host stopped, so that no further result can be computed together."""


def initialize(
    coordinator: str | None = None,
    num_hosts: int | None = None,
    host: int | None = None,
    *,
    join_seconds: int = JOIN_SECONDS,
    heartbeat_seconds: int = HEARTBEAT_SECONDS,
    set_aside: bool = False,
) -> None:
    """Join this process to the others, before any other use of JAX.

    Give all three arguments, or none where the cluster says them itself (TPU pods,
    Slurm, Open MPI, Kubernetes). A host that is lost ends the others within about
    `heartbeat_seconds`.

    Args:
        coordinator: ``address:port`` of host 0, the same on every host.
        num_hosts: number of processes, at least 1.
        host: this process's number, in [0, num_hosts).
        join_seconds: how long to wait for the other hosts.
        heartbeat_seconds: silence after which a host counts as lost.
        set_aside: what JAX's runtime prints, pages where a host is lost, goes to a file
            that the last message names; what Python prints is left alone.

    Raises:
        ValueError: only some arguments are given, one is out of range, or none is given
            and no cluster is found.
        HostLostError: the others did not appear in time.
    """
    _check(coordinator, num_hosts, host)
    _explain_sudden_end(set_aside)
    try:
        jax.distributed.initialize(
            coordinator,
            num_hosts,
            host,
            initialization_timeout=join_seconds,
            heartbeat_timeout_seconds=heartbeat_seconds,
        )
    except ValueError as error:
        raise ValueError(
            "no cluster was found that tells the hosts about each other; give "
            f"coordinator, num_hosts and host ({error})"
        ) from error
    except jax.errors.JaxRuntimeError as error:
        raise HostLostError(
            f"not all {num_hosts or ''} hosts joined within {join_seconds} seconds"
            f"{f' at {coordinator}' if coordinator else ''}: {_first_line(error)}"
        ) from error


def is_writer() -> bool:
    """Return True on the one host that writes files and talks to the user."""
    return jax.process_index() == 0


def from_writer(tree: PyTree) -> PyTree:
    """Return the writer's arrays on every host, as NumPy arrays.

    Args:
        tree: tree of arrays of the same structure, shapes and dtypes on every host.

    Raises:
        HostLostError: a host was lost.
    """
    if jax.process_count() == 1:
        return to_host(tree)
    with lost_hosts():
        return to_host(multihost_utils.broadcast_one_to_all(tree))


@contextlib.contextmanager
def lost_hosts() -> Iterator[None]:
    """Say it plainly when work fails because another host is gone.

    Raises:
        HostLostError: in place of the communication's error.
    """
    try:
        yield
    except jax.errors.JaxRuntimeError as error:
        if jax.process_count() == 1 or not _is_communication(str(error)):
            raise
        raise HostLostError(
            "another host stopped or cannot be reached; start the same command on all "
            f"hosts again to resume ({_first_line(error)})"
        ) from error


def _check(coordinator: str | None, num_hosts: int | None, host: int | None) -> None:
    given = (coordinator, num_hosts, host)
    if coordinator is None or num_hosts is None or host is None:
        if any(value is not None for value in given):
            raise ValueError(
                "coordinator, num_hosts and host must be given together or not at all, "
                f"got {given}"
            )
        return
    address, _, port = coordinator.rpartition(":")
    if not address or not port.isdigit():
        raise ValueError(f"coordinator must be address:port, got {coordinator!r}")
    if not 0 <= host < num_hosts:
        raise ValueError(
            f"host must lie in [0, num_hosts), got host {host} of {num_hosts}"
        )


def _is_communication(text: str) -> bool:
    signs = ("gloo", "connection", "unavailable", "coordination", "heartbeat", "peer")
    return any(sign in text.lower() for sign in signs)


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0][:200]


_FAREWELL = (
    "avits: this process ended suddenly. It was killed, or another host stopped or "
    "cannot be reached ({where}), and nothing more can be computed without it. "
    "Start the same command on all hosts again to go on."
)
_MOURNER = "import sys; sys.stdin.read() or print(sys.argv[1], file=sys.stderr)"


def _explain_sudden_end(set_aside: bool) -> None:
    """Have a second process say what happened if this one is not able to.

    JAX aborts a process whose peer is lost: no Python code runs then, and its message
    says nothing of how to go on.
    """
    terminal, log = _divert() if set_aside else (None, None)
    where = f"JAX says {'above' if log is None else f'in {log}'} which one"
    mourner = subprocess.Popen(
        [sys.executable, "-S", "-E", "-c", _MOURNER, _FAREWELL.format(where=where)],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=terminal,
        start_new_session=True,
    )

    def part() -> None:
        if mourner.stdin is not None:
            with contextlib.suppress(OSError):
                mourner.stdin.write(b"bye")
                mourner.stdin.close()
        mourner.wait()
        if log is not None:
            log.unlink(missing_ok=True)

    atexit.register(part)


def _divert() -> tuple[int, Path]:
    """Send what is written past Python to a file, Python's own to the terminal.

    Returns:
        A descriptor of the terminal, and the file.
    """
    terminal = os.dup(2)
    log, path = tempfile.mkstemp(prefix="avits-", suffix=".log")
    sys.stderr.flush()
    os.dup2(log, 2)
    os.close(log)
    sys.stderr = os.fdopen(terminal, "w", buffering=1, errors="backslashreplace")
    return terminal, Path(path)

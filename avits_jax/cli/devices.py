"""Which devices a run uses, and which other hosts it shares them with."""

import contextlib
import functools
import os
import sys
from collections.abc import Callable, Collection, Iterator
from typing import NamedTuple

import jax

from avits_jax.catalogue.generators import SHARE
from avits_jax.cli.errors import FAILED, CliError, as_cli_error
from avits_jax.cli.options import DeviceOptions, MeshOptions
from avits_jax.runs import ALONE, ONE_DEVICE, Devices, Host
from avits_jax.types import PyTree


class Machine(NamedTuple):
    """What a run works on; the default is one device of one host.

    Attributes:
        devices: how its search is laid over devices.
        host: this process among the hosts.
        mesh: where large weights are read to; None for the one device.
    """

    devices: Devices = ONE_DEVICE
    host: Host = ALONE
    mesh: jax.sharding.Mesh | None = None


ONE_MACHINE = Machine()


def choose_devices(options: MeshOptions) -> Machine:
    """Join the other hosts, if any are asked for, and choose the devices.

    Must come before anything else uses JAX.

    Raises:
        CliError: flags that do not go together, more devices than there are, or hosts
            that do not appear.
    """
    hosts = _hosts(options) if isinstance(options, DeviceOptions) else None
    asked = options.devices, options.share_weights, hosts
    if asked == (None, None, None) and not options.share_guidance:
        return ONE_MACHINE
    from avits_jax.parallel.hosts import initialize
    from avits_jax.parallel.mesh import make_mesh

    if hosts is not None:
        with as_cli_error(), _plainly():
            initialize(*hosts, set_aside=True)
    sharing = 1 if options.share_weights is None else options.share_weights
    branches, more = (2, ", --share-guidance") if options.share_guidance else (1, "")
    with as_cli_error(f"--devices, --share-weights{more}: "):
        return _over(
            make_mesh(model=sharing, branch=branches, num_devices=options.devices)
        )


def idle_notices(
    machine: Machine, population: int, abilities: Callable[[], Collection[str]]
) -> list[str]:
    """Return what to say of devices that have no candidate, if there are any.

    Args:
        machine: what a run works on.
        population: candidates that are worked on at once.
        abilities: tells those of the model (`avits_jax.catalogue.generators.Family`),
            for which more may have to be read.
    """
    from avits_jax.parallel.mesh import BRANCH

    mesh = machine.mesh
    if mesh is None or BRANCH in mesh.axis_names or population >= mesh.size:
        return []
    text = (
        f"{mesh.size - population} of {mesh.size} devices have nothing to do: fewer "
        f"candidates ({population}) than devices"
    )
    if SHARE in abilities():
        text += "; --share-guidance puts two to each candidate's step"
    return [text]


def _hosts(options: DeviceOptions) -> tuple[str | None, int | None, int | None] | None:
    """Return what is said of the other hosts; None where there are none."""
    given = (options.coordinator, options.num_hosts, options.host)
    return given if options.pod or given != (None, None, None) else None


def _over(mesh: jax.sharding.Mesh) -> Machine:
    from avits_jax.parallel.hosts import is_writer
    from avits_jax.parallel.place import place_params, replicate, to_host
    from avits_jax.parallel.search import shard_search

    devices = Devices(
        bind=functools.partial(shard_search, mesh=mesh),
        place=functools.partial(place_params, mesh=mesh),
        share=functools.partial(replicate, mesh=mesh),
        fetch=to_host,
        guarded=_watched,
    )
    return Machine(devices, Host(is_writer(), _from_writer), mesh)


@contextlib.contextmanager
def _watched() -> Iterator[None]:
    from avits_jax.parallel.hosts import lost_hosts

    with _last_words(), lost_hosts():
        yield


def _from_writer(value: PyTree) -> PyTree:
    from avits_jax.parallel.hosts import from_writer

    with _last_words():
        return from_writer(value)


@contextlib.contextmanager
def _last_words() -> Iterator[None]:
    """End at once where a host is lost: what watches this process says how to go on.

    JAX would abort the process on its way out.
    """
    from avits_jax.parallel.hosts import HostLostError

    try:
        yield
    except HostLostError as error:
        os.write(2, f"{error}\n".encode())
        sys.stdout.flush()
        os._exit(FAILED)


@contextlib.contextmanager
def _plainly() -> Iterator[None]:
    from avits_jax.parallel.hosts import HostLostError

    try:
        yield
    except HostLostError as error:
        raise CliError(str(error), FAILED) from error

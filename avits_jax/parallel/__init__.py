"""Many devices and many hosts: meshes, sharding rules, and one call to use them.

On one host with several devices::

    mesh = parallel.make_mesh()
    search, params = parallel.jit_search(
        best_of_n, params, mesh, generator=generator, verifiers=verifiers,
        aggregator=aggregator, num_candidates=64)
    output = parallel.to_host(search(params, key, cond, state))

With ``make_mesh(model=4)`` four devices share one copy of the weights, split by the
``rules`` of the generator and the verifiers; loaders that are given ``mesh=`` read them
split, and they stay so.

On several hosts the same program runs on each, after `initialize`; `is_writer` says
which one writes. See `parallel.hosts` for what a pod user types.
"""

from avits_jax.parallel.hosts import (
    HostLostError,
    from_writer,
    initialize,
    is_writer,
    lost_hosts,
)
from avits_jax.parallel.mesh import CANDIDATE, MODEL, make_mesh
from avits_jax.parallel.place import place, place_params, replicate, to_host
from avits_jax.parallel.search import ShardedSearch, jit_search, shard_search
from avits_jax.parallel.sharding import param_shardings, search_shardings
from avits_jax.types import Rules

__all__ = [
    "CANDIDATE",
    "MODEL",
    "HostLostError",
    "Rules",
    "ShardedSearch",
    "from_writer",
    "initialize",
    "is_writer",
    "jit_search",
    "lost_hosts",
    "make_mesh",
    "param_shardings",
    "place",
    "place_params",
    "replicate",
    "search_shardings",
    "shard_search",
    "to_host",
]
